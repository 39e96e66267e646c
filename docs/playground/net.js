/* The layer equations of numpynet in JavaScript, one function for one function, so that the page can be held against the
 * equation book. A matrix is an array of rows. Nothing here draws a picture or remembers anything.
 */
"use strict";

const Net = (() => {
  const zeros = (rows, columns) => Array.from({ length: rows }, () => new Array(columns).fill(0));
  const times = (A, B) => A.map((row, i) => row.map((a, j) => a * B[i][j]));

  /** Z = (D * H / q) (M * W) + b.   Equation (B1) */
  function linearForward(h, W, b, unitMask, keepProb, weightMask) {
    const hKept = unitMask ? h.map((row, n) => row.map((x, i) => (unitMask[n][i] * x) / keepProb)) : h; // (N, d_in)
    const WKept = weightMask ? times(weightMask, W) : W; // (d_in, d_out)
    const z = hKept.map((row) => {
      const out = b.slice();
      for (let i = 0; i < row.length; i++) {
        const x = row[i], weights = WKept[i];
        for (let j = 0; j < out.length; j++) out[j] += x * weights[j];
      }
      return out;
    }); // (N, d_out)
    return { z, cache: { hKept, WKept, unitMask, keepProb, weightMask } };
  }

  /** dW = M * (H~^T dZ), db = sum dZ, dH = (D * (dZ W~^T)) / q.   Equations (B3), (B5), (B6) */
  function linearBackward(dz, cache) {
    const { hKept, WKept, unitMask, keepProb, weightMask } = cache;
    const dIn = WKept.length, dOut = WKept[0].length;
    let dW = zeros(dIn, dOut);
    const db = new Array(dOut).fill(0);
    const dh = dz.map((delta, n) => {
      for (let j = 0; j < dOut; j++) db[j] += delta[j];
      return WKept.map((weights, i) => {
        let sum = 0;
        for (let j = 0; j < dOut; j++) {
          dW[i][j] += hKept[n][i] * delta[j];
          sum += delta[j] * weights[j];
        }
        return unitMask ? (unitMask[n][i] * sum) / keepProb : sum;
      });
    });
    if (weightMask) dW = times(weightMask, dW);
    return { dh, dW, db };
  }

  /** max(z, 0).   Equation (B11) */
  const reluForward = (z) => z.map((row) => row.map((x) => (x > 0 ? x : 0)));

  /** dz = dh where z > 0, else 0.   Equation (B4) */
  const reluBackward = (dh, z) => dh.map((row, n) => row.map((g, j) => (z[n][j] > 0 ? g : 0)));

  function softmax(logits) {
    return logits.map((row) => {
      const top = Math.max(...row), e = row.map((x) => Math.exp(x - top)), sum = e.reduce((s, x) => s + x, 0);
      return e.map((x) => x / sum);
    });
  }

  /** Mean cross-entropy and its gradient (P - Y) / N.   Equations (B2), (B18) */
  function crossEntropy(logits, labels) {
    const N = logits.length;
    let loss = 0;
    const dlogits = softmax(logits).map((p, n) => {
      const row = logits[n], top = Math.max(...row);
      loss += (top + Math.log(row.reduce((s, x) => s + Math.exp(x - top), 0)) - row[labels[n]]) / N;
      return p.map((x, k) => (x - (k === labels[n] ? 1 : 0)) / N);
    });
    return { loss, dlogits };
  }

  /** All layers. ``unitMasks[l]`` is for the input of layer l, null for none; no masks at all is evaluation. */
  function forward(theta, x, { weightMasks = null, unitMasks = null, keepProb = 1 } = {}) {
    const layers = [];
    let h = x;
    theta.W.forEach((W, l) => {
      const input = h;
      const { z, cache } = linearForward(h, W, theta.b[l], unitMasks && unitMasks[l], keepProb, weightMasks && weightMasks[l]);
      h = l < theta.W.length - 1 ? reluForward(z) : z;
      layers.push({ input, z, output: h, cache });
    });
    return { logits: h, layers };
  }

  /** The gradients of all layers, from the last to the first; each layer also keeps its dz and dh for whoever looks. */
  function backward(dlogits, layers) {
    const dW = [], db = [], dz = [], dh = [];
    let upstream = dlogits;
    for (let l = layers.length - 1; l >= 0; l--) {
      dh[l] = upstream;
      dz[l] = l < layers.length - 1 ? reluBackward(upstream, layers[l].z) : upstream;
      const g = linearBackward(dz[l], layers[l].cache);
      dW[l] = g.dW;
      db[l] = g.db;
      upstream = g.dh;
    }
    return { dW, db, dz, dh, dx: upstream };
  }

  /** A step of Adam on one array, in place.   Equation (O5) */
  function adam(w, g, state, t, lr) {
    const beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
    for (let i = 0; i < w.length; i++) {
      if (Array.isArray(w[i])) {
        adam(w[i], g[i], (state[i] ??= []), t, lr);
        continue;
      }
      const s = (state[i] ??= { m: 0, v: 0 });
      s.m = beta1 * s.m + (1 - beta1) * g[i];
      s.v = beta2 * s.v + (1 - beta2) * g[i] * g[i];
      w[i] -= (lr * (s.m / (1 - beta1 ** t))) / (Math.sqrt(s.v / (1 - beta2 ** t)) + epsilon);
    }
  }

  /** Keep exactly ``keep`` of the living weights, the largest; among equals the lower index goes first.   Equation (L2) */
  function magnitudeMask(W, mask, keep) {
    const columns = W[0].length;
    const alive = [];
    W.forEach((row, i) => row.forEach((w, j) => mask[i][j] && alive.push([Math.abs(w), i * columns + j])));
    alive.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
    const out = W.map((row) => row.map(() => 0));
    for (const [, flat] of alive.slice(Math.max(alive.length - keep, 0))) out[Math.floor(flat / columns)][flat % columns] = 1;
    return out;
  }

  /** How many of n weights a density keeps: n - floor((1 - density) n + 1/2).   Equation (L17) */
  const survivors = (density, n) => n - Math.floor((1 - density) * n + 0.5);

  /** A generator of uniform numbers in [0, 1) from a seed (mulberry32). */
  function generator(seed) {
    let a = seed >>> 0;
    return () => {
      a = (a + 0x6d2b79f5) >>> 0;
      let t = Math.imul(a ^ (a >>> 15), 1 | a);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
  }

  function normal(rng) {
    return Math.sqrt(-2 * Math.log(1 - rng())) * Math.cos(2 * Math.PI * rng());
  }

  /** d = 1 where u < q, else 0: q is the probability to stay.   Equation (D1) */
  const sampleMask = (rng, n, d, keepProb) => Array.from({ length: n }, () => Array.from({ length: d }, () => +(rng() < keepProb)));

  /** He initial weights, biases 0.   Equation (B28) */
  function init(rng, sizes) {
    const W = [], b = [];
    for (let l = 1; l < sizes.length; l++) {
      const scale = Math.sqrt(2 / sizes[l - 1]);
      W.push(Array.from({ length: sizes[l - 1] }, () => Array.from({ length: sizes[l] }, () => scale * normal(rng))));
      b.push(new Array(sizes[l]).fill(0));
    }
    return { W, b };
  }

  /** The largest difference of two nested arrays, over the largest entry of the second. */
  function worst(ours, theirs) {
    const a = [ours].flat(Infinity), b = [theirs].flat(Infinity);
    if (a.length !== b.length) return Infinity;
    let difference = 0, size = 0;
    b.forEach((value, i) => {
      const d = Math.abs(a[i] - value);
      difference = Number.isNaN(d) ? Infinity : Math.max(difference, d);
      size = Math.max(size, Math.abs(value));
    });
    return difference / (size || 1);
  }

  /** Every quantity of the exported case, computed here, against what numpynet says: [[name, worst error], ...]. */
  function selfCheck(numbers) {
    const c = numbers.check, theta = { W: c.W, b: c.b };
    const masked = { weightMasks: c.weight_masks, unitMasks: c.unit_masks, keepProb: c.keep_prob };
    const { logits, layers } = forward(theta, c.x, masked);
    const { loss, dlogits } = crossEntropy(logits, c.labels);
    const g = backward(dlogits, layers);
    const rows = [
      ["logits with both masks (B1)", logits, c.logits],
      ["logits in evaluation (B1)", forward(theta, c.x, { weightMasks: c.weight_masks }).logits, c.evaluation],
      ["loss (B18)", loss, c.loss],
      ["gradient of the logits (B2)", dlogits, c.dlogits],
      ["gradients of the weights (B5)", g.dW, c.dW],
      ["gradients of the biases (B5)", g.db, c.db],
      ["gradient of the input (B6)", g.dx, c.dx],
      ["mask of exact count, with ties (L2)", c.prune.map((p) => magnitudeMask(p.W, p.mask, survivors(p.density, p.W.flat().length))), c.prune.map((p) => p.result)],
    ];
    const w = structuredClone(c.adam.start), state = [];
    c.adam.gradients.forEach((gradient, t) => adam(w, gradient, state, t + 1, c.adam.lr));
    rows.push([`${c.adam.gradients.length} steps of Adam (O5)`, w, c.adam.end]);
    return rows.map(([name, ours, theirs]) => [name, worst(ours, theirs)]);
  }

  return {
    linearForward, linearBackward, reluForward, reluBackward, softmax, crossEntropy, forward, backward, adam,
    magnitudeMask, survivors, generator, sampleMask, init, worst, selfCheck,
  };
})();

if (typeof module !== "undefined") module.exports = Net;
