/* The page: keys, fingers, sliders and bars on one side, the Worker that dreams on the other. */
(() => {
  "use strict";
  const by = (id) => document.getElementById(id);
  const model = JSON.parse(by("model").textContent);
  const RANGE = 4; // of the bars of z
  const styles = getComputedStyle(document.documentElement);
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const memories = { h: "h, what M says", c: "c, what it keeps" };
  let last = null, best = 0, chosen = 0, dragging = false, drawn = true, opened = false;
  let who = "c", paused = calm;

  const worker = new Worker(URL.createObjectURL(new Blob([`(${dreamWorker})(${dreamCore});`])));
  worker.onmessage = ({ data }) => (data.opened ? begin(data) : show(data));
  worker.onerror = (event) => veil(`The dream cannot go on: ${event.message}`);
  const set = (values) => worker.postMessage({ do: "set", values });

  const decimal = (value) => value.toFixed(2).replace("-", "−");

  /** The bytes that a script element holds as base64; its text is given up. */
  function bytes(id) {
    const text = atob(by(id).textContent), out = new Uint8Array(text.length);
    by(id).textContent = "";
    for (let i = 0; i < text.length; i++) out[i] = text.charCodeAt(i);
    return out.buffer;
  }

  function begin({ compiled }) {
    opened = true;
    by("made-of").textContent = compiled ? "" : "This browser has no WebAssembly with vectors, so it runs slower.";
    set({ who, paused, tau: Number(by("tau").value), ends: by("ends").value });
    restart();
  }

  function restart() {
    if (!opened) return;
    veil(null);
    worker.postMessage({ do: "restart", seed: crypto.getRandomValues(new Uint32Array(1))[0] });
  }

  /** Lay a message over the dream, or take it away. */
  function veil(text, button = false) {
    by("veil").hidden = text === null;
    by("veil-text").textContent = text ?? "";
    by("veil-button").hidden = !button;
  }

  function play(name) {
    who = name;
    by("you").setAttribute("aria-pressed", String(who === "you"));
    by("c").setAttribute("aria-pressed", String(who === "c"));
    set({ who });
  }

  function pause(value) {
    paused = value;
    by("pause").setAttribute("aria-pressed", String(paused));
    by("pause").textContent = paused ? "Go on" : "Pause";
    set({ paused: paused || document.hidden });
  }

  // What is shown -----------------------------------------------------------------------------

  function show(said) {
    last = said;
    if (drawn) requestAnimationFrame(draw);
    drawn = false;
    if (!said.over) return;
    draw(); // at once: the counter agrees with what the message says
    const after = `after ${said.age.toLocaleString("en")} steps.`;
    veil(said.ended ? `The dream has ended ${after}` : `Survived: the game is over ${after}`, true);
  }

  function draw() {
    drawn = true;
    const { picture, z, memory, action, age, total, risk, fps, over } = last;
    by("dream").getContext("2d").putImageData(new ImageData(picture, 64, 64), 0, 0);
    best = Math.max(best, age);
    by("steps").textContent = age.toLocaleString("en");
    by("best").textContent = best.toLocaleString("en");
    by("fps").textContent = fps && !paused && !over ? String(fps) : "–";
    by("reward").textContent = total.toFixed(1);
    if (risk !== null) {
      by("risk").value = Math.sqrt(risk); // small risks are what matters
      by("risk-text").textContent = `${(100 * risk).toFixed(risk < 0.1 ? 1 : 0)} %`;
    }
    for (const [button, control] of pads) button.style.setProperty("--done", done(control, action));
    drawBars(z);
    drawMemory(memory);
  }

  /** How much of a control an action does, 0 to 1. */
  function done({ set: wanted }, action) {
    const { idle } = model.controls, shares = Object.entries(wanted)
      .filter(([i, value]) => value !== idle[i])
      .map(([i, value]) => (action[i] - idle[i]) / (value - idle[i]));
    return Math.min(1, Math.max(0, ...shares)).toFixed(2);
  }

  /** A canvas's context, with as many pixels as the screen has, and its size in CSS's pixels. */
  function surface(canvas) {
    const ratio = devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    return { context, width, height };
  }

  function drawBars(z) {
    const { context, width, height } = surface(by("z")), step = width / z.length;
    const colour = (name) => styles.getPropertyValue(name);
    context.fillStyle = colour("--line");
    context.fillRect(0, height / 2 - 0.5, width, 1);
    z.forEach((value, i) => {
      const long = Math.max(-1, Math.min(1, value / RANGE)) * (height / 2 - 3);
      const marked = i === chosen && (dragging || document.activeElement === by("z"));
      context.fillStyle = colour(marked ? "--ink" : value < 0 ? "--down" : "--up");
      context.fillRect(i * step + step * 0.14, height / 2 - Math.max(0, long), step * 0.72, Math.abs(long));
    });
    by("z-text").textContent = `z${chosen + 1} = ${decimal(z[chosen])}`;
    by("z").setAttribute("aria-valuenow", z[chosen].toFixed(2));
    by("z").setAttribute("aria-valuetext", by("z-text").textContent);
  }

  function drawMemory(memory) {
    if (!memory.length) return;
    const { context, width, height } = surface(by("h")), high = height / memory.length;
    memory.forEach((part, row) => {
      part.forEach((value, i) => {
        context.globalAlpha = Math.min(1, Math.abs(value));
        context.fillStyle = styles.getPropertyValue(value < 0 ? "--down" : "--up");
        context.fillRect((i * width) / part.length, row * high, width / part.length + 0.5, high - 1);
      });
    });
    context.globalAlpha = 1;
  }

  // The game's own frames ---------------------------------------------------------------------

  function startGame() {
    const { clip } = model;
    if (!clip) {
      by("game-figure").remove();
      document.querySelector(".beside").classList.add("without-game");
      return;
    }
    const sheet = new Image(), context = by("game").getContext("2d");
    const showFrame = (n) => {
      const x = 64 * (n % clip.columns), y = 64 * Math.floor(n / clip.columns);
      context.drawImage(sheet, x, y, 64, 64, 0, 0, 64, 64);
    };
    let at = 0;
    sheet.onload = () => {
      showFrame(0);
      setInterval(() => {
        if (!paused && !document.hidden) showFrame((at = (at + 1) % clip.frames));
      }, 1000 / clip.fps);
    };
    sheet.src = `data:image/jpeg;base64,${by("clip").textContent}`;
  }

  // What the player does ----------------------------------------------------------------------

  const ARROWS = { left: "M15 5l-7 7 7 7", right: "M9 5l7 7-7 7", up: "M5 15l7-7 7 7", down: "M5 9l7 7 7-7" };
  const held = new Set(), pads = new Map();

  function act() {
    const wanted = [...model.controls.idle];
    for (const control of held) for (const [i, value] of Object.entries(control.set)) wanted[i] = value;
    if (held.size && who !== "you") play("you");
    set({ wanted });
  }

  function hold(control) {
    held.delete(control); // the latest of two that contradict each other counts
    held.add(control);
    act();
  }

  function release(control) {
    if (held.delete(control)) act();
  }

  function addPads() {
    for (const control of model.controls.keys) {
      const button = document.createElement("button");
      button.type = "button";
      button.innerHTML = `<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="2.5" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><path d="${ARROWS[control.arrow]}"/></svg><span></span>`;
      button.querySelector("span").textContent = control.label;
      button.onpointerdown = (event) => {
        button.setPointerCapture(event.pointerId);
        hold(control);
      };
      button.onlostpointercapture = () => release(control);
      button.oncontextmenu = (event) => event.preventDefault();
      button.onkeydown = ({ key, repeat }) => { if (key === "Enter" && !repeat) hold(control); };
      button.onkeyup = ({ key }) => { if (key === "Enter") release(control); };
      button.onblur = () => release(control);
      by("pad").append(button);
      pads.set(button, control);
    }
  }

  const others = {
    " ": () => play(who === "c" ? "you" : "c"),
    c: () => play(who === "c" ? "you" : "c"),
    r: restart,
    p: () => pause(!paused),
  };

  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { target, key } = event, control = model.controls.keys.find((one) => one.key === key);
    if (target.matches("input, select, #z") && key !== "c" && key !== "r" && key !== "p") return;
    if (key === " " && target.matches("button")) return; // it presses the button
    const other = others[key.toLowerCase()];
    if (!control && !other) return;
    event.preventDefault();
    if (event.repeat) return;
    if (control) hold(control);
    else other();
  });
  addEventListener("keyup", ({ key }) => {
    const control = model.controls.keys.find((one) => one.key === key);
    if (control) release(control);
  });
  addEventListener("blur", () => {
    held.clear();
    act();
  });

  function dragBars() {
    const canvas = by("z");
    const pin = (index, value) => worker.postMessage({ do: "pin", index, value });
    const drag = ({ clientX, clientY }) => {
      const box = canvas.getBoundingClientRect();
      if (!dragging) chosen = Math.floor(((clientX - box.left) / box.width) * model.z_size);
      chosen = Math.min(model.z_size - 1, Math.max(0, chosen));
      dragging = true;
      const value = (1 - (2 * (clientY - box.top)) / box.height) * RANGE;
      pin(chosen, Math.min(RANGE, Math.max(-RANGE, value)));
    };
    canvas.onpointerdown = (event) => {
      canvas.setPointerCapture(event.pointerId);
      drag(event);
    };
    canvas.onpointermove = (event) => dragging && drag(event);
    canvas.onlostpointercapture = () => {
      dragging = false;
      worker.postMessage({ do: "pin", value: null });
      canvas.blur(); // so that the arrow keys play again
    };
    canvas.onkeydown = (event) => {
      const [move, change] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 0.25], ArrowDown: [0, -0.25] }[event.key] ?? [];
      if (move === undefined || !last) return;
      event.preventDefault();
      chosen = (chosen + move + model.z_size) % model.z_size;
      if (change) pin(chosen, Math.min(RANGE, Math.max(-RANGE, last.z[chosen] + change)));
      else drawBars(last.z);
    };
    canvas.onkeyup = canvas.onblur = () => worker.postMessage({ do: "pin", value: null });
  }

  function settle() {
    const endless = !("end" in model.columns);
    by("ends").value = model.ends;
    by("ends-choice").hidden = by("risk-readout").hidden = endless;
    by("reward-readout").hidden = !("reward" in model.columns);
    if (endless) by("steps-label").textContent = "Steps";
    by("z-size").textContent = model.z_size;
    by("h").hidden = !model.seen.length;
    by("h-text").textContent = model.seen.map((part) => memories[part] ?? part).join(" · ");
    by("you").onclick = () => play("you");
    by("c").onclick = () => play("c");
    by("restart").onclick = by("veil-button").onclick = restart;
    by("pause").onclick = () => pause(!paused);
    by("tau").oninput = ({ target }) => {
      by("tau-text").textContent = Number(target.value).toFixed(2);
      set({ tau: Number(target.value) });
    };
    by("ends").onchange = ({ target }) => set({ ends: target.value });
    by("pace").onchange = ({ target }) => set({ pace: Number(target.value) });
    // After a pointer has pressed or moved something, the keys are the game's again.
    by("tau").onpointerup = ({ target }) => target.blur();
    for (const id of ["ends", "pace"]) {
      by(id).addEventListener("change", ({ target }) => target.matches(":focus-visible") || target.blur());
    }
    addEventListener("click", ({ detail, target }) => detail && target.closest("button")?.blur());
    document.onvisibilitychange = () => pause(paused);
    addEventListener("resize", () => last && draw());
    matchMedia("(prefers-color-scheme: dark)").onchange = () => last && draw();
  }

  settle();
  addPads();
  dragBars();
  startGame();
  const weights = bytes("weights"), kernel = bytes("kernel");
  worker.postMessage({ do: "open", model, weights, kernel }, [weights, kernel]);
  if (calm) pause(true);
})();
