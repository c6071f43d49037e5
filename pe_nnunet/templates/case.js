"use strict";
// Shows one case: slices in a window with outlines, a projection to find one's way, a table that leads to each finding.
// Slices are grey levels in WebP; data.hu says which HU each level stands for. Nothing is loaded from anywhere else.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const element = (id) => document.getElementById(id);
  const canvas = element("slice");
  const locator = element("locator");
  const slider = element("slider");
  const windowButtons = [...document.querySelectorAll("button[data-window]")];
  const rows = new Map([...document.querySelectorAll("tr[data-finding]")].map((row) => [Number(row.dataset.finding), row]));
  const findings = data.findings;
  const last = data.slices.length - 1;
  const FOUND = "#ff9d2e";
  const FAINT = "#b3b9bf";
  const KEPT_SLICES = 96; // decoded ones in memory

  const state = { slice: 0, window: 0, overlay: true, selected: null, zoom: 1, centre: [data.width / 2, data.height / 2] };
  const decoded = new Map();
  let projection = null;

  const scratch = document.createElement("canvas");
  scratch.width = data.width;
  scratch.height = data.height;
  const scratchContext = scratch.getContext("2d", { willReadFrequently: true });

  async function greyOf(source, width, height) {
    const image = new Image();
    image.src = source;
    await image.decode();
    const sheet = width === scratch.width && height === scratch.height ? scratch : Object.assign(document.createElement("canvas"), { width, height });
    const context = sheet === scratch ? scratchContext : sheet.getContext("2d");
    context.drawImage(image, 0, 0);
    const pixels = context.getImageData(0, 0, width, height).data;
    return Uint8Array.from({ length: width * height }, (_, k) => pixels[4 * k]);
  }

  function sliceGrey(k) {
    if (!decoded.has(k)) {
      if (decoded.size >= KEPT_SLICES) decoded.delete(decoded.keys().next().value);
      decoded.set(k, greyOf(data.slices[k].image, data.width, data.height));
    }
    return decoded.get(k);
  }

  // A window's brightness of each of the 256 grey levels.
  function brightness({ width, level }) {
    return data.hu.map((hu) => Math.max(0, Math.min(255, Math.round((255 * (hu - level + width / 2)) / width))));
  }

  function windowed(grey, width, height, preset) {
    const table = brightness(preset);
    const image = new ImageData(width, height);
    for (let k = 0; k < grey.length; k += 1) {
      image.data[4 * k] = image.data[4 * k + 1] = image.data[4 * k + 2] = table[grey[k]];
      image.data[4 * k + 3] = 255;
    }
    return image;
  }

  // Canvas pixels per slice pixel, and the slice pixel in the canvas' upper left corner.
  function view() {
    const scale = [(canvas.width / data.width) * state.zoom, (canvas.height / data.height) * state.zoom];
    const span = [data.width / state.zoom, data.height / state.zoom];
    const corner = [0, 1].map((axis) => {
      const size = axis ? data.height : data.width;
      return Math.max(0, Math.min(size - span[axis], state.centre[axis] - span[axis] / 2));
    });
    return { scale, span, corner };
  }

  function fitCanvas() {
    const shown = canvas.clientWidth * (window.devicePixelRatio || 1);
    const aspect = (data.height * data.spacing_mm[1]) / (data.width * data.spacing_mm[0]);
    const width = Math.max(64, Math.round(shown));
    const height = Math.round(width * aspect);
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width;
      canvas.height = height;
    }
  }

  async function draw() {
    const k = state.slice;
    const grey = await sliceGrey(k);
    if (k !== state.slice) return; // scrolled on meanwhile
    fitCanvas();
    const context = canvas.getContext("2d");
    const { scale, span, corner } = view();
    scratchContext.putImageData(windowed(grey, data.width, data.height, data.windows[state.window]), 0, 0);
    context.imageSmoothingEnabled = true;
    context.imageSmoothingQuality = "high";
    context.drawImage(scratch, corner[0], corner[1], span[0], span[1], 0, 0, canvas.width, canvas.height);
    if (state.overlay) drawFindings(context, k, scale, corner);
    drawScaleBar(context, scale);
    canvas.dataset.drawn = `${k} ${state.window} ${state.overlay} ${state.zoom}`;
    for (const beside of [k + 1, k - 1, k + 2, k - 2]) if (beside >= 0 && beside <= last) sliceGrey(beside);
  }

  function drawFindings(context, k, scale, corner) {
    const thin = Math.max(1, canvas.width / 700);
    const place = (x, y) => [(x - corner[0]) * scale[0], (y - corner[1]) * scale[1]];
    for (const { id, lines } of data.slices[k].outlines) {
      context.beginPath();
      for (const line of lines) {
        for (let n = 0; n < line.length; n += 2) context[n ? "lineTo" : "moveTo"](...place(line[n], line[n + 1]));
        context.closePath();
      }
      context.strokeStyle = FOUND;
      context.lineWidth = id === state.selected ? 2.6 * thin : 1.4 * thin;
      context.stroke();
    }
    for (const finding of findings) {
      if (finding.slice !== k || finding.kept) continue;
      const [x, y] = place(finding.column, finding.row);
      context.beginPath();
      context.arc(x, y, (8 / data.spacing_mm[0]) * scale[0], 0, 2 * Math.PI);
      context.setLineDash([6 * thin, 4 * thin]);
      context.strokeStyle = FAINT;
      context.lineWidth = 1.4 * thin;
      context.stroke();
      context.setLineDash([]);
    }
  }

  function drawScaleBar(context, scale) {
    const perMm = scale[0] / data.spacing_mm[0];
    const mm = [100, 50, 20, 10, 5].find((length) => length * perMm < canvas.width / 3) || 5;
    const [x, y] = [0.03 * canvas.width, 0.96 * canvas.height];
    const size = Math.max(11, Math.round(canvas.width / 55));
    context.fillStyle = "rgb(0 0 0 / 60%)"; // bone and, in the lung window, all tissue is white
    context.fillRect(x - size / 3, y - 1.5 * size, mm * perMm + (2 * size) / 3, 2 * size);
    context.fillStyle = "#f2f2f2";
    context.fillRect(x, y, mm * perMm, Math.max(2, size / 5));
    context.font = `${size}px sans-serif`;
    context.fillText(`${mm} mm`, x, y - size / 3);
  }

  function drawLocator() {
    if (!projection) return;
    const context = locator.getContext("2d");
    const { width, height, depth } = data.locator;
    const sheet = Object.assign(document.createElement("canvas"), { width, height });
    sheet.getContext("2d").putImageData(windowed(projection, width, height, data.windows[0]), 0, 0);
    context.drawImage(sheet, 0, 0, locator.width, locator.height);
    const across = locator.width / data.width;
    const down = (z) => (1 - (z + 0.5) / depth) * locator.height;
    context.fillStyle = FOUND;
    for (const finding of findings.filter((each) => each.kept)) {
      context.beginPath();
      context.arc(finding.column * across, down(finding.z_index), finding.id === state.selected ? 6 : 3.5, 0, 2 * Math.PI);
      context.fill();
    }
    context.strokeStyle = "#8cc4f0";
    context.lineWidth = 1.5;
    context.beginPath();
    context.moveTo(0, down(data.slices[state.slice].index));
    context.lineTo(locator.width, down(data.slices[state.slice].index));
    context.stroke();
  }

  function refresh() {
    const { z_mm: z } = data.slices[state.slice];
    const name = data.windows[state.window].name;
    slider.value = String(state.slice);
    slider.setAttribute("aria-valuetext", `slice ${state.slice + 1} of ${last + 1}, z ${z.toFixed(1)} mm`);
    element("place").textContent = `${state.slice + 1} of ${last + 1}, z = ${z.toFixed(1)} mm`;
    const here = data.slices[state.slice].outlines.map((outline) => outline.id);
    canvas.setAttribute("aria-label",
      `Axial slice ${state.slice + 1} of ${last + 1}, ${name} window, ${here.length ? `emboli ${here.join(", ")}` : "no embolus"} on it`);
    windowButtons.forEach((button, k) => button.setAttribute("aria-pressed", String(k === state.window)));
    element("overlay").setAttribute("aria-pressed", String(state.overlay));
    for (const [id, row] of rows) {
      row.classList.toggle("selected", id === state.selected);
      if (id === state.selected) row.setAttribute("aria-current", "true");
      else row.removeAttribute("aria-current");
    }
    drawLocator();
    return draw();
  }

  function say(text) {
    element("said").textContent = text;
  }

  function goTo(slice) {
    state.slice = Math.max(0, Math.min(last, slice));
    return refresh();
  }

  function select(finding) {
    state.selected = finding.id;
    state.centre = [finding.column, finding.row];
    say(`${finding.kept ? "Embolus" : "Candidate"} ${finding.id}, slice ${finding.slice + 1} of ${last + 1}`);
    rows.get(finding.id)?.scrollIntoView({ block: "nearest" });
    return goTo(finding.slice);
  }

  function selectNext(step) {
    if (!findings.length) return;
    const here = findings.findIndex((finding) => finding.id === state.selected);
    const start = here < 0 && step < 0 ? 0 : here;
    select(findings[(start + step + findings.length) % findings.length]);
  }

  function setWindow(k) {
    if (k >= data.windows.length) return;
    state.window = k;
    say(`${data.windows[k].name} window`);
    refresh();
  }

  function toggleOverlay() {
    state.overlay = !state.overlay;
    say(state.overlay ? "Outlines shown" : "Outlines hidden");
    refresh();
  }

  function zoomTo(zoom) {
    state.zoom = Math.max(1, Math.min(8, zoom));
    refresh();
  }

  const actions = {
    ArrowUp: () => goTo(state.slice + 1),
    ArrowDown: () => goTo(state.slice - 1),
    PageUp: () => goTo(state.slice + 10),
    PageDown: () => goTo(state.slice - 10),
    Home: () => goTo(0),
    End: () => goTo(last),
    o: toggleOverlay,
    n: () => selectNext(1),
    p: () => selectNext(-1),
    "+": () => zoomTo(state.zoom * 2),
    "=": () => zoomTo(state.zoom * 2),
    "-": () => zoomTo(state.zoom / 2),
    0: () => zoomTo(1),
  };
  data.windows.forEach((_, k) => { actions[k + 1] = () => setWindow(k); });

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const named = event.key.length > 1;
    if (named && (event.target === slider || event.target.closest(".scroll"))) return; // they have their own use of arrows
    const action = actions[named ? event.key : event.key.toLowerCase()];
    if (!action) return;
    event.preventDefault();
    action();
  });

  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    if (event.deltaY) goTo(state.slice + (event.deltaY < 0 ? 1 : -1));
  }, { passive: false });

  let grip = null;
  canvas.addEventListener("pointerdown", (event) => {
    grip = { x: event.clientX, y: event.clientY, centre: [...state.centre] };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!grip || state.zoom === 1) return;
    const { span } = view();
    state.centre = [
      grip.centre[0] - ((event.clientX - grip.x) / canvas.clientWidth) * span[0],
      grip.centre[1] - ((event.clientY - grip.y) / canvas.clientHeight) * span[1],
    ];
    draw();
  });
  canvas.addEventListener("pointerup", () => { grip = null; });
  canvas.addEventListener("pointercancel", () => { grip = null; });

  locator.addEventListener("click", (event) => {
    const box = locator.getBoundingClientRect();
    const z = (1 - (event.clientY - box.top) / box.height) * data.locator.depth - 0.5;
    const away = data.slices.map((slice) => Math.abs(slice.index - z));
    goTo(away.indexOf(Math.min(...away)));
  });

  slider.addEventListener("input", () => goTo(Number(slider.value)));
  windowButtons.forEach((button, k) => button.addEventListener("click", () => setWindow(k)));
  element("overlay").addEventListener("click", toggleOverlay);
  element("closer").addEventListener("click", actions["+"]);
  element("wider").addEventListener("click", actions["-"]);
  element("next").addEventListener("click", actions.n);
  element("previous").addEventListener("click", actions.p);
  for (const finding of findings) {
    rows.get(finding.id)?.querySelector("button").addEventListener("click", () => select(finding));
  }
  window.addEventListener("resize", draw);

  slider.max = String(last);
  locator.width = 420;
  locator.height = Math.round((locator.width * data.locator.depth * data.spacing_mm[2]) / (data.width * data.spacing_mm[0]));
  greyOf(data.locator.image, data.locator.width, data.locator.height).then((grey) => {
    projection = grey;
    drawLocator();
  });
  const first = findings.find((finding) => finding.kept);
  (first ? select(first) : goTo(Math.round(last / 2))).then(() => { document.documentElement.dataset.ready = "yes"; });
})();
