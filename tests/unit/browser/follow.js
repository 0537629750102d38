// Runs the page's own dream.js under Node: `node follow.js DREAM.js KERNEL.wasm|- < case.json`.
// The case holds an export, noise and actions; what comes out is where the dream went.
"use strict";
const fs = require("fs");
const [core, kernel] = [require(process.argv[2])(), process.argv[3]];
const given = JSON.parse(fs.readFileSync(0));
const weights = new Uint8Array(Buffer.from(given.weights, "base64"));
const models = core.open(given.model, weights, kernel === "-" ? null : fs.readFileSync(kernel));
const dream = new core.Dream(models, given.tau, given.ends);
const found = { z: [], actions: [], risks: [], ended: [], pictures: [], total: 0 };
const look = () => {
  found.z.push(Array.from(dream.z));
  if (found.z.length % given.every === 1) found.pictures.push(Array.from(models.vision.decode(dream.z)));
};
dream.begin(given.frame, given.eps);
look();
for (const noise of given.noise) {
  const action = dream.policy();
  found.actions.push(Array.from(action));
  found.ended.push(dream.step(action, noise));
  found.risks.push(dream.risk);
  look();
}
found.total = dream.total;
process.stdout.write(JSON.stringify(found));
