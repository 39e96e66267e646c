/* The pictures: the network as SVG, the plane and the curves on canvases. They are given what they show, and keep nothing. */
"use strict";

const Draw = (() => {
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const SVG = "http://www.w3.org/2000/svg";

  function element(name, attributes, parent) {
    const e = document.createElementNS(SVG, name);
    for (const key in attributes) e.setAttribute(key, attributes[key]);
    parent.append(e);
    return e;
  }

  const place = (sizes, layer, unit) => ({ x: 45 + (430 * layer) / (sizes.length - 1), y: 28 + (510 * (unit + 0.5)) / sizes[layer] });
  const layerName = (sizes, l) => (l === 0 ? "input" : l === sizes.length - 1 ? "output" : `hidden ${l}`);

  /** Make the units once; they stay, so that the keyboard does not lose its place. */
  function makeNet(svg, sizes, onSelect) {
    svg.replaceChildren();
    const edges = element("g", {}, svg), nodes = [];
    sizes.forEach((size, layer) => {
      const caption = element("text", { class: "caption", x: place(sizes, layer, 0).x, y: 16 }, svg);
      caption.textContent = layerName(sizes, layer);
      nodes.push(Array.from({ length: size }, (_, unit) => {
        const { x, y } = place(sizes, layer, unit);
        const node = element("g", { class: "node", tabindex: layer === 1 && unit === 0 ? 0 : -1, role: "button" }, svg);
        element("circle", { cx: x, cy: y, r: 14 }, node);
        element("text", { x, y: y + 3.2 }, node);
        node.addEventListener("click", () => onSelect(layer, unit));
        node.addEventListener("keydown", (event) => {
          const moves = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] };
          let target = null;
          if (event.key === "Enter" || event.key === " ") target = [layer, unit];
          else if (moves[event.key]) {
            const l = layer + moves[event.key][0];
            if (l >= 0 && l < sizes.length) target = [l, Math.min(Math.max(unit + moves[event.key][1], 0), sizes[l] - 1)];
          }
          if (!target) return;
          event.preventDefault();
          onSelect(...target);
          nodes[target[0]][target[1]].focus();
        });
        return node;
      }));
    });
    return { edges, nodes };
  }

  /** Show weights, masks and values of one example. */
  function net({ edges, nodes }, { sizes, theta, weightMasks, doomed, values, unitMasks, selected }) {
    edges.replaceChildren();
    const blue = colour("--class0"), orange = colour("--class1");
    theta.W.forEach((W, l) => {
      const top = Math.max(1e-9, ...W.flat().map(Math.abs));
      W.forEach((row, i) => row.forEach((w, j) => {
        if (!weightMasks[l][i][j]) return;
        const a = place(sizes, l, i), b = place(sizes, l + 1, j), size = Math.abs(w) / top;
        const chosen = selected[0] === l + 1 && selected[1] === j;
        const dead = unitMasks[l] && !unitMasks[l][0][i];
        element("line", {
          x1: a.x, y1: a.y, x2: b.x, y2: b.y, stroke: w > 0 ? blue : orange,
          "stroke-width": (chosen ? 1 : 0.4) + 2.6 * size,
          "stroke-opacity": dead ? 0.06 : chosen ? 1 : 0.2 + 0.5 * size,
          ...(doomed[l][i][j] ? {} : { "stroke-dasharray": "1.5 4" }),
        }, edges);
      }));
    });
    nodes.forEach((layer, l) => layer.forEach((node, unit) => {
      const value = values[l][unit], dropped = Boolean(unitMasks[l] && !unitMasks[l][0][unit]);
      const chosen = selected[0] === l && selected[1] === unit;
      node.setAttribute("class", `node${dropped ? " dropped" : ""}${chosen ? " selected" : ""}`);
      node.setAttribute("tabindex", chosen ? 0 : -1);
      node.setAttribute("aria-pressed", chosen);
      node.setAttribute("aria-label", `${layerName(sizes, l)}, unit ${unit + 1}, value ${value.toFixed(2)}${dropped ? ", dropped" : ""}`);
      node.firstChild.setAttribute("fill", dropped || value === 0 ? colour("--back") : colour(value > 0 ? "--region0" : "--region1"));
      node.lastChild.textContent = Math.abs(value) >= 9.95 ? value.toFixed(0) : value.toFixed(1);
    }));
  }

  const side = 1.25; // the plane runs from -side to side

  /** The decision region, the points, and the chosen example. */
  function plane(canvas, { probability, train, test, example }) {
    const g = canvas.getContext("2d"), size = canvas.width, cells = 60, cell = size / cells;
    const to = (v) => ((v + side) / (2 * side)) * size;
    const points = [];
    for (let r = 0; r < cells; r++) {
      for (let c = 0; c < cells; c++) points.push([((c + 0.5) / cells) * 2 * side - side, side - ((r + 0.5) / cells) * 2 * side]);
    }
    const region = [colour("--region0"), colour("--region1")];
    probability(points).forEach((p, k) => {
      g.globalAlpha = 1;
      g.fillStyle = colour("--panel");
      g.fillRect((k % cells) * cell, Math.floor(k / cells) * cell, cell + 1, cell + 1);
      g.globalAlpha = 0.25 + 0.75 * Math.abs(2 * p - 1);
      g.fillStyle = region[p > 0.5 ? 1 : 0];
      g.fillRect((k % cells) * cell, Math.floor(k / cells) * cell, cell + 1, cell + 1);
    });
    g.globalAlpha = 1;
    const dot = (x, y, radius, fill, stroke) => {
      g.beginPath();
      g.arc(to(x), size - to(y), radius, 0, 2 * Math.PI);
      if (fill) { g.fillStyle = fill; g.fill(); }
      if (stroke) { g.strokeStyle = stroke; g.stroke(); }
    };
    const classes = [colour("--class0"), colour("--class1")];
    g.lineWidth = 1.2;
    test.x.forEach(([x, y], n) => dot(x, y, 3, null, classes[test.y[n]]));
    train.x.forEach(([x, y], n) => dot(x, y, 3.6, classes[train.y[n]], colour("--back")));
    g.lineWidth = 2.5;
    dot(...train.x[example], 8, null, colour("--ink"));
    return { from: (px, py) => [(px / size) * 2 * side - side, side - (py / size) * 2 * side] };
  }

  const DASHES = [[], [6, 3], [2, 3], [8, 3, 2, 3], [4, 4]];

  /** Accuracy by step, a line for each run. */
  function curves(canvas, runs) {
    const g = canvas.getContext("2d"), w = canvas.width, h = canvas.height, left = 44, bottom = 18, low = 0.4;
    g.clearRect(0, 0, w, h);
    const last = Math.max(100, ...runs.flatMap((run) => run.points.map(([step]) => step)));
    const x = (step) => left + (step / last) * (w - left - 8), y = (a) => h - bottom - ((Math.max(a, low) - low) / (1 - low)) * (h - bottom - 10);
    g.font = "11px system-ui, sans-serif";
    g.textBaseline = "middle";
    g.lineWidth = 1;
    for (const a of [0.5, 0.75, 1]) {
      g.strokeStyle = colour("--line");
      g.setLineDash([]);
      g.beginPath(); g.moveTo(left, y(a)); g.lineTo(w - 8, y(a)); g.stroke();
      g.fillStyle = colour("--soft");
      g.textAlign = "right";
      g.fillText(`${100 * a} %`, left - 3, y(a));
    }
    g.textAlign = "right";
    g.fillText(`${last} steps`, w - 8, h - 7);
    runs.forEach((run, k) => {
      g.strokeStyle = colour(run.colour);
      g.setLineDash(DASHES[k % DASHES.length]);
      g.lineWidth = k === runs.length - 1 ? 2.4 : 1.5;
      g.beginPath();
      run.points.forEach(([step, a], i) => (i ? g.lineTo(x(step), y(a)) : g.moveTo(x(step), y(a))));
      g.stroke();
    });
    g.setLineDash([]);
  }

  return { makeNet, net, plane, curves, layerName };
})();
