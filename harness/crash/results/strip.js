// Draws the strip of a crash report: log position across, colour by verdict, boots above, phases
// below. Plain JavaScript without a library; data comes from strip.py. Loaded into report.html.
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const unroll = (column) => {  // run lengths -> values
  const values = [];
  for (let i = 0; i < column.length; i += 2) for (let k = 0; k < column[i + 1]; k++) values.push(column[i]);
  return values;
};
const sums = (column) => { let sum = 0; return unroll(column).map((step) => (sum += step)); };

const P = data.points, W = data.writes;
const at = sums(P.at), row = unroll(P.row), booted = unroll(P.booted), loss = unroll(P.loss);
const shade = row.map((number) => P.rows[number][0]);
const N = at.length;
const write = {
  position: sums(W.position), kind: unroll(W.kind), fua: unroll(W.fua), length: unroll(W.length),
  region: unroll(W.region), structure: unroll(W.structure), ms: sums(W.milliseconds), offset: [],
};
let end = 0;
unroll(W.gap).forEach((gap, i) => { write.offset.push(end + gap); end += gap + write.length[i]; });
const indexOf = new Map(write.position.map((position, i) => [position, i]));

const style = getComputedStyle(document.documentElement);
const colours = data.shades.map((name) => style.getPropertyValue("--" + name).trim());
const BAD = data.shades.indexOf("inconsistent"), UNDECIDED = data.shades.indexOf("undecided");
const canvas = document.getElementById("strip"), whole = document.getElementById("whole");
const panel = document.getElementById("hover"), command = document.getElementById("replay");
const BOOTS = { top: 16, bottom: 62 }, BAND = { top: 66, bottom: 132 }, MARKS = 144, PHASES = 150, ROW = 17;
const MARGIN = 6;  // so that the first and the last position can be pointed at

let view = [0, N], pointed = -1, pinned = -1, dragged = null;
let context, width = 0;

const xOf = (index) => MARGIN + ((index - view[0]) / (view[1] - view[0])) * (width - 2 * MARGIN);
const indexAt = (x) => view[0] + ((x - MARGIN) / (width - 2 * MARGIN)) * (view[1] - view[0]);
const clamp = (value, low, high) => Math.max(low, Math.min(high, value));
const number = (value) => value.toLocaleString("en");
const firstAt = (position) => {  // index of the first point at or behind a log position
  let low = 0, high = N;
  while (low < high) { const middle = (low + high) >> 1; if (at[middle] < position) low = middle + 1; else high = middle; }
  return low;
};
// The worst position of the pixel column at x, and how many share that column.
function column(x) {
  const first = clamp(Math.floor(indexAt(x - 0.5)), 0, N - 1);
  const last = clamp(Math.max(first + 1, Math.floor(indexAt(x + 0.5))), 1, N);
  let worst = first;
  for (let i = first; i < last; i++) if (shade[i] > shade[worst]) worst = i;
  return { worst, count: last - first };
}

function prepared(element, height) {
  const scale = window.devicePixelRatio || 1;
  width = element.clientWidth;
  element.width = Math.round(width * scale);
  element.height = Math.round(height * scale);
  element.style.height = height + "px";
  context = element.getContext("2d");
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  context.font = "12px system-ui, sans-serif";
}
function fill(kind, x, y, w, h) {
  context.fillStyle = colours[kind];
  context.fillRect(x, y, w, h);
  if (kind !== UNDECIDED) return;  // also told apart without colour
  context.save();
  context.beginPath(); context.rect(x, y, w, h); context.clip();
  context.strokeStyle = "#59636e"; context.lineWidth = 1; context.beginPath();
  for (let k = Math.floor((x - h) / 6) * 6; k < x + w; k += 6) { context.moveTo(k, y + h); context.lineTo(k + h, y); }
  context.stroke(); context.restore();
}
// Runs of pixel columns with one shade; the colour of a column is that of its worst position.
function band(top, bottom) {
  let from = MARGIN, kind = column(MARGIN).worst;
  const right = width - MARGIN;
  kind = shade[kind];
  for (let x = MARGIN + 1; x <= right; x++) {
    const next = x < right ? shade[column(x).worst] : -1;
    if (next !== kind) { fill(kind, from, top, x - from, bottom - top); from = x; kind = next; }
  }
}
// What is bad is never less than 3 pixels wide, and has a mark under it: triangle or diamond.
function marks(top, bottom, marked) {
  for (let x = MARGIN; x < width - MARGIN; x++) {
    const kind = shade[column(x).worst];
    if (kind < BAD) continue;
    fill(kind, x - 1, top, 3, bottom - top);
    if (marked) { context.save(); context.translate(x + 0.5, bottom + 3); mark(kind); context.restore(); }
  }
}
function mark(kind) {
  context.beginPath(); context.moveTo(0, 0); context.lineTo(4, kind === BAD ? 4 : 8);
  if (kind === BAD) context.lineTo(0, 8);
  context.lineTo(-4, kind === BAD ? 4 : 8); context.closePath();
  context.fillStyle = colours[kind]; context.fill();
}
function boots() {
  const bin = 4, bars = [];
  for (let x = MARGIN; x < width - MARGIN; x += bin) {
    const first = clamp(Math.floor(indexAt(x)), 0, N), last = clamp(Math.floor(indexAt(x + bin)), 0, N);
    let sum = 0;
    for (let i = first; i < Math.max(last, first + 1) && i < N; i++) sum += booted[i];
    bars.push(sum);
  }
  const most = Math.max(1, ...bars), high = BOOTS.bottom - BOOTS.top;
  context.fillStyle = "#59636e";
  bars.forEach((sum, i) => {
    const h = sum ? Math.max(2, (sum / most) * high) : 0;
    context.fillRect(MARGIN + i * bin, BOOTS.bottom - h, bin - 1, h);
  });
  context.fillText("states booted" + (N ? " (highest bar: " + number(most) + ")" : ""), MARGIN, 11);
  context.fillStyle = "#d1d9e0"; context.fillRect(MARGIN, BOOTS.bottom, width - 2 * MARGIN, 1);
}
// Names under the strip. One that does not fit under its phase hangs from it like a flag, away from
// the nearer edge of the strip; the innermost hangs lowest, so that no line crosses a name.
function phases() {
  const rows = [], names = [];
  const place = (flag, left) => {
    const right = left + flag.room + 8;
    let level = 0;
    while ((rows[level] || []).some(([a, b]) => left < b && a < right)) level++;
    (rows[level] = rows[level] || []).push([left, right]);
    names.push([flag.name, left, level]);
    if (left !== flag.middle) { context.fillStyle = "#afb8c1"; context.fillRect(flag.line, PHASES, 1, level * ROW + 13); }
  };
  const shown = data.phases.map(([name, start, stop]) => [name, firstAt(start), firstAt(stop)])
    .filter(([, a, b]) => b > view[0] && a < view[1] && b > a)
    .map(([name, a, b]) => {
      const left = clamp(xOf(a), MARGIN, width - MARGIN), right = clamp(xOf(b), MARGIN, width - MARGIN);
      context.fillStyle = "#59636e";
      context.fillRect(left + 0.5, PHASES - 3, Math.max(1, right - left - 1), 3);
      const room = context.measureText(name).width;
      return { name, room, left, right, middle: (left + right - room) / 2, line: (left + right) / 2 };
    });
  const narrow = shown.filter((flag) => flag.room > flag.right - flag.left);
  shown.filter((flag) => !narrow.includes(flag)).forEach((flag) => place(flag, flag.middle));
  const inner = (flag) => flag.line + 110 < width;
  narrow.filter(inner).reverse().forEach((flag) => place(flag, flag.line + 3));
  narrow.filter((flag) => !inner(flag)).forEach((flag) => place(flag, flag.line - flag.room - 3));
  context.fillStyle = "#1b1f24";
  names.forEach(([name, x, level]) => context.fillText(name, x, PHASES + 14 + level * ROW));
  return rows.length;
}
function axis(y) {
  const step = [1, 2, 5].flatMap((n) => [0, 1, 2, 3, 4, 5, 6].map((p) => n * 10 ** p)).sort((a, b) => a - b)
    .find((n) => (n / (view[1] - view[0])) * width > 90) || 1;
  context.fillStyle = "#59636e";
  const low = at[clamp(Math.floor(view[0]), 0, N - 1)], high = at[clamp(Math.ceil(view[1]) - 1, 0, N - 1)];
  for (let n = Math.ceil(low / step) * step; n <= high; n += step) {
    const x = xOf(firstAt(n));
    context.fillRect(x, y, 1, 4);
    const text = number(n);
    const room = context.measureText(text).width;
    context.fillText(text, clamp(x - room / 2, 0, width - room), y + 16);
  }
}
const ROWS = () => Number(canvas.dataset.rows || 1);
function draw() {
  if (!N) { panel.textContent = "No log position was explored."; return; }
  for (let tries = 0; tries < 2; tries++) {  // the second time with the height that names need
    const bottom = PHASES + 6 + ROWS() * ROW;
    prepared(canvas, bottom + 22);
    boots(); band(BAND.top, BAND.bottom); marks(BAND.top, BAND.bottom, true);
    const rows = Math.max(1, phases());
    axis(bottom);
    if (rows === ROWS()) break;
    canvas.dataset.rows = rows;
  }
  for (const [index, colour] of [[pointed, "#59636e"], [pinned, "#1b1f24"]]) {
    if (index < 0) continue;
    const x = xOf(index + 0.5);  // beside the band, whose colour stays to be seen
    context.fillStyle = colour; context.beginPath();
    context.moveTo(x, BAND.top); context.lineTo(x - 5, BAND.top - 9); context.lineTo(x + 5, BAND.top - 9); context.fill();
  }
  if (dragged && dragged.moved) {
    context.fillStyle = "rgba(9,105,218,.2)";
    context.fillRect(Math.min(dragged.from, dragged.to), BOOTS.top, Math.abs(dragged.to - dragged.from), MARKS - BOOTS.top);
  }
  overview();
}
function overview() {
  const kept = view;
  prepared(whole, 26);
  view = [0, N];
  band(6, 20); marks(6, 20, false);
  const left = xOf(kept[0]), right = xOf(kept[1]);
  view = kept;
  context.fillStyle = "rgba(255,255,255,.6)";
  context.fillRect(0, 6, left, 14); context.fillRect(right, 6, width - right, 14);
  context.strokeStyle = "#1b1f24"; context.lineWidth = 1.5;
  context.strokeRect(left, 4, Math.max(4, right - left), 18);
}

const bytes = (n) => n >= 1048576 && n % 1048576 === 0 ? number(n / 1048576) + " MiB" : n >= 1024 && n % 1024 === 0 ? number(n / 1024) + " KiB" : number(n) + " bytes";
function stateAt(index) {
  const text = P.losses[loss[index]] || "none";  // undecided: the cut that loses most
  if (text.startsWith("=")) return text.slice(1);
  return at[index] + "/" + text.replace(/@(-?\d+)/g, (_, back) => at[index] - Number(back));
}
const quoted = (word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : "'" + word.replaceAll("'", `'"'"'`) + "'");  // as shlex.quote
function replayOf(index) {
  const state = stateAt(index);
  if (state.includes(">")) return data.command + " --state " + quoted(state);
  const slash = state.indexOf("/");
  return data.command + " --at " + quoted(state.slice(0, slash)) + " --loss " + quoted(state.slice(slash + 1));
}
function line(...parts) {
  const paragraph = document.createElement("p");
  for (const [text, kind] of parts) {
    const span = document.createElement("span");
    span.textContent = text; if (kind) span.className = kind;
    paragraph.append(span);
  }
  return paragraph;
}
function writeLine(label, position) {
  const i = indexOf.get(position);
  if (i === undefined) return line([label + " ", "dim"], ["none in this recording"]);
  const kind = W.kinds[write.kind[i]], what = [["record " + number(position) + ": " + kind, ""]];
  if (write.length[i]) {
    const region = W.regions[write.region[i]];
    what[0][0] += " of " + (W.structures[write.structure[i]] || "unknown");
    what.push([", " + bytes(write.length[i]) + (write.fua[i] ? ", FUA" : "") + " at byte " + number(write.offset[i]) + (region ? " (" + region + ")" : ""), ""]);
  }
  return line([label + " ", "dim"], ...what, [", " + (write.ms[i] / 1000).toFixed(1) + " s", "dim"]);
}
function show(index, count) {
  if (index < 0) return;
  const counted = P.rows[row[index]], names = ["old", "new", "recovered", "bricked", "inconsistent", "undecided"];
  const phase = data.phases.find(([, start, stop]) => start <= at[index] && at[index] < stop);
  const found = names.map((name, i) => [counted[i + 1], name]).filter(([n]) => n)
    .flatMap(([n, name]) => [[" ", ""], [number(n) + " " + name, "chip " + name]]);
  const shared = count > 1 ? " (the worst of " + number(count) + " positions in this pixel)" : "";
  panel.replaceChildren(
    line(["Cut at " + number(at[index]), "strong"], [phase ? " in " + phase[0] : "", ""], [shared, "dim"]),
    writeLine("last write:", at[index] - 1), writeLine("next would be:", at[index]),
    line(["cut points here:", "dim"], ...(found.length ? found : [[" none", ""]]), [" · " + number(booted[index]) + " booted", "dim"]),
  );
  panel.dataset.at = at[index];
}
function pin(index) {
  pinned = index; pointed = -1;
  const text = replayOf(index);
  command.textContent = text;
  document.getElementById("copied").textContent = "";
  show(index, 1); draw();
  return text;
}
function choose(index) {  // a person has asked for it: the command goes to the clipboard
  const text = pin(index);
  if (navigator.clipboard) navigator.clipboard.writeText(text).then(
    () => { document.getElementById("copied").textContent = "copied"; }, () => select(command));
  else select(command);
}
function select(element) {
  const range = document.createRange(); range.selectNodeContents(element);
  const chosen = getSelection(); chosen.removeAllRanges(); chosen.addRange(range);
}
function zoom(from, to) {
  const least = Math.min(N, 12), span = clamp(to - from, least, N);
  const start = clamp((from + to) / 2 - span / 2, 0, N - span);
  view = [start, start + span];
  document.getElementById("all").disabled = span >= N;
  draw();
}
const xIn = (event) => event.clientX - event.currentTarget.getBoundingClientRect().left;
canvas.addEventListener("pointerdown", (event) => {
  if (event.button) return;
  canvas.setPointerCapture(event.pointerId);
  dragged = { from: xIn(event), to: xIn(event), moved: false };
});
canvas.addEventListener("pointermove", (event) => {
  const x = xIn(event);
  if (dragged) { dragged.to = x; dragged.moved = dragged.moved || Math.abs(x - dragged.from) > 4; }
  const { worst, count } = column(x);
  pointed = worst; show(worst, count); draw();
});
canvas.addEventListener("pointerup", (event) => {
  const done = dragged; dragged = null;
  if (!done) return;
  if (done.moved) zoom(...[indexAt(done.from), indexAt(done.to)].sort((a, b) => a - b));
  else choose(column(xIn(event)).worst);
});
canvas.addEventListener("pointerleave", () => { pointed = -1; if (pinned >= 0) show(pinned, 1); draw(); });
canvas.addEventListener("dblclick", () => zoom(0, N));
canvas.addEventListener("wheel", (event) => {
  if (event.ctrlKey) return;  // the browser's own zoom
  event.preventDefault();
  const centre = indexAt(xIn(event)), factor = event.deltaY > 0 ? 1.25 : 0.8;
  if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
    const step = (event.deltaX / width) * (view[1] - view[0]);
    zoom(view[0] + step, view[1] + step);
  } else zoom(centre - (centre - view[0]) * factor, centre + (view[1] - centre) * factor);
}, { passive: false });
canvas.addEventListener("keydown", (event) => {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!step) return;
  event.preventDefault();
  const next = clamp((pinned < 0 ? Math.floor(view[0]) - (step > 0 ? 1 : 0) : pinned) + step, 0, N - 1);
  if (next < view[0] || next >= view[1]) zoom(next - (view[1] - view[0]) / 2, next + (view[1] - view[0]) / 2);
  pin(next);
});
function move(event) {
  if (event.type === "pointermove" && !event.buttons) return;
  const centre = ((xIn(event) - MARGIN) / (width - 2 * MARGIN)) * N, half = (view[1] - view[0]) / 2;
  zoom(centre - half, centre + half);
}
whole.addEventListener("pointerdown", move);
whole.addEventListener("pointermove", move);
document.getElementById("all").addEventListener("click", () => zoom(0, N));
const failing = document.getElementById("next-bad");
const badOnes = shade.map((kind, i) => (kind >= UNDECIDED ? i : -1)).filter((i) => i >= 0);
failing.hidden = !badOnes.length;
failing.addEventListener("click", () => {
  const next = badOnes.find((i) => i > pinned) ?? badOnes[0];
  zoom(next - 60, next + 60); pin(next);
});
for (const code of document.querySelectorAll("[data-replay]")) code.addEventListener("click", () => {
  const index = firstAt(Number(code.dataset.replay));
  select(code); if (at[index] === Number(code.dataset.replay)) zoom(index - 60, index + 60);
});
window.addEventListener("resize", draw);
window.addEventListener("beforeprint", () => zoom(0, N));
draw();
if (badOnes.length) pin(badOnes.find((i) => shade[i] >= BAD) ?? badOnes[0]);
