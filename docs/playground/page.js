/* The page: what is set, what is trained, and what is shown of it. */
"use strict";

const SIZES = [2, 12, 12, 2];
const BATCH = 20;
const $ = (id) => document.getElementById(id);

// ---- the arithmetic of this page against numpynet's ----------------------------------------------------------------

const TOLERANCE = 1e-12;
{
  const rows = Net.selfCheck(NUMBERS), worst = Math.max(...rows.map(([, error]) => error));
  const pass = worst <= TOLERANCE;
  for (const [name, error] of rows) {
    const row = $("check-table").tBodies[0].insertRow();
    row.insertCell().textContent = name;
    row.insertCell().textContent = error === 0 ? "0" : error.toExponential(1);
  }
  $("check").className = pass ? "pass" : "fail";
  $("check").textContent = pass
    ? `✓ This page computes what numpynet computes: ${rows.length} quantities, worst difference ${worst.toExponential(1)}.`
    : `✗ This page does not compute what numpynet computes: worst difference ${worst.toExponential(1)} (tolerance ${TOLERANCE}).`;
  document.documentElement.dataset.check = pass ? "pass" : "fail";
  if (!pass) $("check-details").open = true;
}

// ---- what there is ---------------------------------------------------------------------------------------------------

const ones = () => SIZES.slice(1).map((d, l) => Array.from({ length: SIZES[l] }, () => new Array(d).fill(1)));
const S = {}; // the state: data, theta0, theta, masks, adam, step, order, unitMasks, runs, ...
let seed = 1;
let running = false;
const view = Draw.makeNet($("net"), SIZES, (layer, unit) => { S.selected = [layer, unit]; show(); });

function startAgain() {
  S.data = NUMBERS.data[$("data").value];
  S.rng = Net.generator(seed++);
  S.theta0 = Net.init(S.rng, SIZES);
  S.masks = ones();
  S.runs = [];
  S.selected ??= [1, 0];
  S.example = Math.min(Number($("example").value) || 0, S.data.train.x.length - 1);
  begin(S.theta0, "all weights", "--ink");
}

/** A training from here: theta = M * start, a fresh optimizer, a fresh curve.   Equation (L4) */
function begin(start, name, colour) {
  S.theta = { W: start.W.map((W, l) => W.map((row, i) => row.map((w, j) => w * S.masks[l][i][j]))), b: start.b.map((b) => b.slice()) };
  S.adam = { W: [], b: [] };
  S.step = 0;
  S.order = [];
  S.runs = [...S.runs.filter((run) => run.points.length > 1).slice(-4), { name, colour, points: [] }];
  record();
  drawUnitMasks();
  show();
}

const keepProb = () => Number($("keep").value);
const rate = () => 10 ** Number($("lr").value);
const hasDropout = () => keepProb() < 1;

function drawMasks(n) {
  return SIZES.slice(0, -1).map((d, l) => (l > 0 && hasDropout() ? Net.sampleMask(S.rng, n, d, keepProb()) : null));
}

function drawUnitMasks() {
  S.unitMasks = drawMasks(1);
}

// ---- training --------------------------------------------------------------------------------------------------------

function trainStep() {
  if (S.order.length < BATCH) { // a new epoch: all examples, in a new order
    S.order = S.data.train.x.map((_, n) => n);
    for (let n = S.order.length - 1; n > 0; n--) {
      const k = Math.floor(S.rng() * (n + 1));
      [S.order[n], S.order[k]] = [S.order[k], S.order[n]];
    }
  }
  const batch = S.order.splice(0, BATCH);
  const x = batch.map((n) => S.data.train.x[n]), labels = batch.map((n) => S.data.train.y[n]);
  const options = { weightMasks: S.masks, unitMasks: hasDropout() ? drawMasks(BATCH) : null, keepProb: keepProb() };
  const { logits, layers } = Net.forward(S.theta, x, options);
  const g = Net.backward(Net.crossEntropy(logits, labels).dlogits, layers);
  S.step += 1;
  Net.adam(S.theta.W, g.dW, S.adam.W, S.step, rate());
  Net.adam(S.theta.b, g.db, S.adam.b, S.step, rate());
  if (S.step % 10 === 0) record();
}

function evaluate(part) {
  const { logits } = Net.forward(S.theta, part.x, { weightMasks: S.masks });
  const right = logits.filter((row, n) => (row[1] > row[0] ? 1 : 0) === part.y[n]).length;
  return { accuracy: right / part.x.length, loss: Net.crossEntropy(logits, part.y).loss };
}

function record() {
  S.test = evaluate(S.data.test);
  S.train = evaluate(S.data.train);
  S.runs.at(-1).points.push([S.step, S.test.accuracy]);
}

// ---- pruning ---------------------------------------------------------------------------------------------------------

/** The masks that the density slider would leave; the last layer loses half the share.   Equations (L2), (L7) */
function prunedMasks() {
  const density = Number($("density").value);
  return S.theta.W.map((W, l) => {
    const own = l === S.theta.W.length - 1 ? (1 + density) / 2 : density;
    return Net.magnitudeMask(W, S.masks[l], Net.survivors(own, W.length * W[0].length));
  });
}

const count = (masks) => masks.flat(2).reduce((sum, m) => sum + m, 0);

function prune() {
  S.masks = prunedMasks();
  const left = ((100 * count(S.masks)) / count(ones())).toFixed(0);
  begin(S.theta, `pruned to ${left} %, trained on`, "--soft");
}

function rewind() {
  begin(S.theta0, isDense() ? "all weights" : `ticket, ${percentLeft()} %`, isDense() ? "--ink" : "--unit");
}

function fresh() {
  begin(Net.init(S.rng, SIZES), isDense() ? "all weights, new draw" : `new weights, ${percentLeft()} %`, isDense() ? "--ink" : "--weight");
}

const isDense = () => count(S.masks) === count(ones());
const percentLeft = () => ((100 * count(S.masks)) / count(ones())).toFixed(0);

// ---- what is seen ----------------------------------------------------------------------------------------------------

function show() {
  const n = S.example, options = { weightMasks: S.masks, unitMasks: S.unitMasks, keepProb: keepProb() };
  const { logits, layers } = Net.forward(S.theta, [S.data.train.x[n]], options);
  const { dlogits, loss } = Net.crossEntropy(logits, [S.data.train.y[n]]);
  const g = Net.backward(dlogits, layers);
  const values = [S.data.train.x[n], ...layers.map((layer) => layer.output[0])];
  Draw.net(view, { sizes: SIZES, theta: S.theta, weightMasks: S.masks, doomed: prunedMasks(), values, unitMasks: S.unitMasks, selected: S.selected });
  const plane = Draw.plane($("plane"), {
    probability: (points) => Net.softmax(Net.forward(S.theta, points, { weightMasks: S.masks }).logits).map((p) => p[1]),
    train: S.data.train, test: S.data.test, example: n,
  });
  S.from = plane.from;
  $("plane").setAttribute("aria-label", `Decision region; ${percent(S.test.accuracy)} of the test points are on the right side`);
  Draw.curves($("curves"), S.runs);
  $("curve-legend").replaceChildren(...S.runs.flatMap((run, k) => {
    const line = document.createElement("span");
    line.className = "key";
    line.style.borderTopStyle = k % 5 === 0 ? "solid" : k % 2 ? "dashed" : "dotted";
    line.style.color = `var(${run.colour})`;
    return [line, document.createTextNode(` ${run.name}: ${percent(run.points.at(-1)[1])} `)];
  }));
  $("curves").setAttribute("aria-label", `Test accuracy: ${S.runs.map((run) => `${run.name} ${percent(run.points.at(-1)[1])}`).join("; ")}`);
  showNumbers(loss);
  showUnit(layers, g, values);
  for (const [id, text] of [["keep", keepProb().toFixed(2)], ["lr", rate().toPrecision(2)], ["density", Number($("density").value).toFixed(2)]]) {
    $(`${id}-value`).textContent = text;
  }
}

const percent = (x) => `${(100 * x).toFixed(1)} %`;
const number = (x) => (x === 0 ? "0" : Math.abs(x) < 1e-4 ? x.toExponential(1) : x.toFixed(4)).replace("-", "−");

function showNumbers(loss) {
  const left = count(S.masks), all = count(ones());
  const rows = [
    ["step", S.step], ["training loss", S.train.loss.toFixed(4)], ["training accuracy", percent(S.train.accuracy)],
    ["test accuracy", percent(S.test.accuracy)], ["weights left", `${left} of ${all}`], ["loss of the example", loss.toFixed(4)],
  ];
  $("numbers").replaceChildren(...rows.flatMap(([name, value]) => {
    const dt = document.createElement("dt"), dd = document.createElement("dd");
    dt.textContent = name;
    dd.textContent = value;
    return [dt, dd];
  }));
}

/** Everything that meets in one unit: the line of the equation, term by term, forwards and backwards. */
function showUnit(layers, g, values) {
  const [l, j] = S.selected;
  $("unit-title").textContent = `${Draw.layerName(SIZES, l)}, unit ${j + 1}: forward and backward, for example ${S.example}`;
  const box = $("unit");
  box.replaceChildren();
  const say = (text) => {
    const p = document.createElement("p");
    p.className = "sums";
    p.textContent = text;
    box.append(p);
  };
  const used = S.unitMasks[l], q = keepProb();
  if (l === 0) {
    say(`x${j + 1} = ${number(values[0][j])}. Inputs are not dropped here. dL/dx = ${number(g.dx[0][j])}   (B6)`);
    return;
  }
  const layer = layers[l - 1], mask = S.unitMasks[l - 1], W = S.theta.W[l - 1], M = S.masks[l - 1];
  const table = document.createElement("table");
  const head = table.createTHead().insertRow();
  for (const text of ["from unit i", "h", "d", "h̃ = d h / q", "m", "w", "h̃ m w", "dL/dw = m h̃ dz"]) {
    const th = document.createElement("th");
    th.scope = "col";
    th.textContent = text;
    head.append(th);
  }
  const body = table.createTBody();
  layer.cache.hKept[0].forEach((h, i) => {
    const row = body.insertRow();
    const off = (mask && !mask[0][i]) || !M[i][j];
    if (off) row.className = "off";
    const cells = [i + 1, number(layer.input[0][i]), mask ? mask[0][i] : "–", number(h), M[i][j], number(W[i][j]), number(h * M[i][j] * W[i][j]), number(g.dW[l - 1][i][j])];
    for (const text of cells) row.insertCell().textContent = text;
  });
  box.append(table);
  const z = layer.z[0][j], b = S.theta.b[l - 1][j], hidden = l < SIZES.length - 1;
  if (body.querySelector(".off")) say("Dim rows add nothing: the unit is dropped (d = 0) or the weight is pruned (m = 0).");
  say(`z = sum + b = ${number(z - b)} + ${number(b)} = ${number(z)}${hidden ? `,  h = max(z, 0) = ${number(values[l][j])}` : "  (a logit)"}   (B1, B11)`);
  if (used) say(`its own d = ${used[0][j]}${used[0][j] ? `: it sends h / q = ${number(values[l][j] / q)} on` : ": dropped, it sends 0 on, and gets no gradient"}`);
  say(`backward: ${hidden ? `dL/dh = ${number(g.dh[l - 1][0][j])},  dL/dz = 1[z > 0] dL/dh = ` : "dL/dz = P − Y = "}${number(g.dz[l - 1][0][j])},  dL/db = ${number(g.db[l - 1][j])}   (${hidden ? "B4, B5" : "B2, B5"})`);
}

// ---- what is clicked -------------------------------------------------------------------------------------------------

function frame() {
  if (!running) return;
  for (let k = 0; k < 5; k++) trainStep();
  drawUnitMasks();
  show();
  requestAnimationFrame(frame);
}

function setRunning(on) {
  running = on;
  $("run").textContent = on ? "Pause" : "Train";
  $("run").setAttribute("aria-pressed", on);
  if (on) requestAnimationFrame(frame);
}

$("run").onclick = () => setRunning(!running);
$("step").onclick = () => { trainStep(); record(); drawUnitMasks(); show(); };
$("reset").onclick = startAgain;
$("data").onchange = startAgain;
$("prune").onclick = prune;
$("rewind").onclick = rewind;
$("fresh").onclick = fresh;
$("dense").onclick = () => { S.masks = ones(); rewind(); };
$("redraw").onclick = () => { drawUnitMasks(); show(); };
$("keep").oninput = () => { drawUnitMasks(); show(); };
$("lr").oninput = show;
$("density").oninput = show;
$("example").oninput = () => {
  const n = Number($("example").value);
  if (Number.isInteger(n) && n >= 0 && n < S.data.train.x.length) { S.example = n; show(); }
};
$("plane").onclick = (event) => {
  const box = $("plane").getBoundingClientRect(), scale = $("plane").width / box.width;
  const [x, y] = S.from((event.clientX - box.left) * scale, (event.clientY - box.top) * scale);
  const distance = S.data.train.x.map((p) => (p[0] - x) ** 2 + (p[1] - y) ** 2);
  S.example = distance.indexOf(Math.min(...distance));
  $("example").value = S.example;
  show();
};
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
startAgain();
