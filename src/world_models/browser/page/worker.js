/* The loop that dreams, in a Worker: the page stays quick whatever a step costs.

It takes messages { do: … } and answers each step with the picture and all that the page shows. */
function dreamWorker(dreamCore) {
  "use strict";
  const core = dreamCore(), turn = new MessageChannel();
  const state = { who: "c", pace: 1, paused: false, wanted: null, pins: new Map() };
  let models, dream, noise, action, over = false, due = 0, waiting = false, times = [];

  function open({ model, weights, kernel }) {
    const bytes = new Uint8Array(weights);
    let compiled = Boolean(kernel);
    try {
      models = core.open(model, bytes, kernel && new Uint8Array(kernel));
    } catch {
      compiled = false; // no WebAssembly with vectors here: plain JavaScript computes the same
      models = core.open(model, bytes, null);
    }
    dream = new core.Dream(models, 1, model.ends);
    state.wanted = model.controls.idle;
    postMessage({ opened: true, compiled });
  }

  function restart(seed) {
    noise = new core.Noise(seed, models.model.z_size);
    const { frame, eps } = noise.begin(models.math.arrays["first.mu"].shape[0]);
    dream.begin(frame, eps);
    action = Float32Array.from(models.model.controls.idle);
    over = false;
    times = [];
    tell(false);
  }

  /** What the player does: the action moves towards what the keys say. */
  function byHand() {
    const { smooth } = models.model.controls;
    return action.map((value, i) => value + smooth * (state.wanted[i] - value));
  }

  function step() {
    for (const [index, value] of state.pins) dream.z[index] = value;
    action = state.who === "c" ? dream.policy() : byHand();
    const ended = dream.step(action, noise.step());
    for (const [index, value] of state.pins) dream.z[index] = value;
    // Where M foresees an end, a dream is cut where the game is; else it goes on.
    over = ended || (dream.risk !== null && dream.age >= models.model.cap);
    const now = performance.now();
    times = [...times.filter((time) => now - time < 1000), now];
    tell(ended);
  }

  function tell(ended) {
    const picture = models.vision.decode(dream.z);
    const memory = models.model.seen.map((part) => dream.memory.parts[part].slice());
    const { age, total, risk } = dream, z = dream.z.slice(), fps = times.length;
    const said = { picture, z, memory, action, age, total, risk, over, ended, fps };
    postMessage(said, [picture.buffer]);
  }

  /** Do a step when it is due, and see to the next. */
  function run() {
    waiting = false;
    if (state.paused || over || !noise) return;
    step();
    const now = performance.now(), period = state.pace ? 1000 / (models.model.fps * state.pace) : 0;
    due = Math.max(due + period, now - period); // a late step is caught up with, a long pause not
    wait(due - now);
  }

  function wait(ms) {
    if (waiting) return;
    waiting = true;
    if (ms > 1) setTimeout(run, ms);
    else turn.port2.postMessage(0); // a timer would take four milliseconds at least
  }

  const orders = {
    open,
    restart({ seed }) {
      restart(seed);
      wait(0);
    },
    set({ values }) {
      Object.assign(state, values);
      if (values.tau) dream.tau = values.tau;
      if (values.ends) dream.ends = values.ends;
      due = performance.now();
      wait(0);
    },
    /** Hold a number of z at a value, or let go of all; at rest only the picture changes. */
    pin({ index, value }) {
      if (value === null) state.pins.clear();
      else {
        state.pins.clear();
        state.pins.set(index, value);
        if (state.paused && !over) {
          dream.z[index] = value;
          tell(false);
        }
      }
    },
  };
  turn.port1.onmessage = run;
  onmessage = ({ data }) => orders[data.do](data);
}
