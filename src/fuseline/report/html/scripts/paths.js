// Links as curves. Ends of several links on one side of a box stand beside each other; a link that
// goes on in the next column passes between the two; one that is too long shows its two ends.

const Paths = (() => {
  const SPREAD = 12;
  const STUB = 16;
  const BESIDE = 16; // of the links that are drawn whole
  const LABEL_WIDTH = 62;
  const LINE = 13;

  function pathOf({ link, source, target, lanes, isFar }, columns) {
    const start = { x: attach(source, target, "below"), y: source.bottom, column: source.column };
    const end = { x: attach(target, source, "above"), y: target.top, column: target.column };
    const path = { link, isFar, middle: null };
    if (isFar) return farPath(path, source, start, end);
    const stops = [start];
    for (const lane of lanes) {
      stops.push({ x: lane.x, y: lane.top, column: lane.column });
      stops.push({ x: lane.x, y: lane.bottom, column: lane.column });
    }
    stops.push(end);
    path.d = `M${start.x} ${start.y}`;
    for (let at = 1; at < stops.length; at++) path.d += step(stops[at - 1], stops[at], columns);
    path.middle = middleOf(stops[0], stops[1]);
    return bounded(path, stops);
  }

  // Two ends; of all the far links of one box the upper end is drawn once.
  function farPath(path, source, start, end) {
    const isFirst = !source.hasFar;
    source.hasFar = true;
    for (const each of [start, end]) each.x += BESIDE;
    path.d = (isFirst ? stub(start, 1) : "") + stub(end, -1);
    return bounded(path, isFirst ? [start, end] : [end]);
  }

  // The rectangle around a link; links between columns go a little beyond their stops.
  function bounded(path, stops) {
    const [xs, ys] = [stops.map((stop) => stop.x), stops.map((stop) => stop.y)];
    path.left = Math.min(...xs) - STUB;
    if (stops.some((stop) => stop.column !== stops[0].column)) {
      ys.push(...stops.flatMap((stop) => [stop.column.top, stop.column.bottom]));
    }
    path.top = Math.min(...ys) - STUB;
    path.width = Math.max(...xs) + STUB - path.left;
    path.height = Math.max(...ys) + STUB - path.top;
    return path;
  }

  // Where a link meets a box: ends are in the order of what is at the other end.
  function attach(node, other, side) {
    const ends = node[side];
    if (!ends || ends.length < 2 || node.width < 2 * SPREAD) return node.x;
    const toward = ends.find((found) => found === other) ?? ends.find((found) => leadsTo(found, other, side));
    const sorted = [...ends].sort((one, another) => one.x - another.x);
    const room = Math.min(SPREAD, (0.6 * node.width) / (ends.length - 1));
    return node.x + (sorted.indexOf(toward) - (ends.length - 1) / 2) * room;
  }

  function leadsTo(lane, other, side) {
    let at = lane;
    while (at?.isLane) [at] = at[side];
    return at === other;
  }

  function step(from, to, columns) {
    if (from.column !== to.column) return around(from, to, columns);
    if (Math.abs(from.x - to.x) < 0.5) return `L${round(to.x)} ${round(to.y)}`;
    const middle = (from.y + to.y) / 2;
    return `C${round(from.x)} ${round(middle)} ${round(to.x)} ${round(middle)} ${round(to.x)} ${round(to.y)}`;
  }

  // Down to the foot of one column, up between the two, in from the head of the next.
  function around(from, to, columns) {
    const gutter = columns[columns.indexOf(to.column) - 1] ?? from.column;
    const lane = (gutter.passing = (gutter.passing + 1) % 4);
    const x = round(to.column.left - 10 - 4 * lane);
    const [low, high] = [round(from.column.bottom - 5), round(to.column.top + 2)];
    const radius = 5;
    return `L${round(from.x)} ${low - radius}Q${round(from.x)} ${low} ${round(from.x) + radius} ${low}`
      + `L${x - radius} ${low}Q${x} ${low} ${x} ${low - radius}`
      + `L${x} ${high + radius}Q${x} ${high} ${x + radius} ${high}`
      + `L${round(to.x) - radius} ${high}Q${round(to.x)} ${high} ${round(to.x)} ${high + radius}L${round(to.x)} ${round(to.y)}`;
  }

  const stub = (end, way) =>
    `M${round(end.x)} ${round(end.y)}v${way * STUB}m-3 0h6`;

  const round = (value) => Math.round(value * 10) / 10;

  function middleOf(from, to) {
    if (from.column !== to.column) return { x: from.x + 5, y: from.y + 15 };
    return { x: (from.x + to.x) / 2 + 5, y: (from.y + to.y) / 2 + 4 };
  }

  // Labels that would lie on each other are left out: tooltips have the figure.
  function label(paths) {
    const taken = new Map(); // by line of text
    for (const path of paths) {
      if (!path.middle) continue;
      const { x, y } = path.middle;
      const line = Math.round(y / LINE);
      const near = [line - 1, line, line + 1].flatMap((each) => taken.get(each) ?? []);
      path.isLabelled = !near.some((other) =>
        Math.abs(other.x - x) < LABEL_WIDTH && Math.abs(other.y - y) < LINE);
      if (path.isLabelled) taken.set(line, [...(taken.get(line) ?? []), path.middle]);
    }
  }

  return { label, pathOf };
})();
