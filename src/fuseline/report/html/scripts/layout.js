// Where boxes and links go: per container, from the inside out. Boxes stand in ranks, a box below
// all that it reads from (longest path); in a rank they are ordered by where their neighbours are
// (barycentres); they stand as straight below them as their order lets them (least squares).
// Links over several ranks get a place of their own in each. Long containers are set in columns.

const Layout = (() => {
  const CARD = { width: 216, height: 44 };
  const PORT = { width: 96, height: 26 };
  const HEAD = 32; // a container's heading
  const PAD = 16;
  const GAP_X = 26;
  const GAP_Y = 34;
  const GAP_END = 20; // below a container's heading, and above its foot
  const LANE = 12; // width of a link that passes a rank
  const FAR = 24; // ranks: a longer link is drawn as two ends
  const MOST_LANES = 6000;
  const TALL = 560; // pixels: more is set in columns
  const WORTH = 0.72; // of the height: columns must save the rest
  const ASPECT = 1.5; // of what is set in columns
  const GUTTER = 34;

  function layOut(drawing) {
    arrange(drawing.root);
    place(drawing.root, 0, 0);
    return drawing;
  }

  function arrange(box) {
    if (box.isCard) {
      Object.assign(box, box.isPort ? PORT : CARD);
      return;
    }
    box.children.forEach(arrange);
    const graph = graphOf(box);
    rank(graph);
    addLanes(graph);
    const ranks = order(graph);
    align(graph, ranks);
    const columns = setColumns(box, graph, ranks);
    box.paths = graph.links.map((link) => Paths.pathOf(link, columns));
    Paths.label(box.paths);
  }

  function place(box, x, y) {
    [box.left, box.top] = [x, y];
    for (const child of box.children) place(child, x + child.x, y + child.y);
  }

  // Nodes of the container's own graph: its children, and its two ends where links reach them.
  function graphOf(box) {
    const nodes = [];
    const of = new Map();
    const add = (item, width, height) => {
      const node = { item, width, height, above: [], below: [], rank: 0, x: 0 };
      of.set(item, node);
      nodes.push(node);
    };
    if (box.entry) add(box.entry, 1, 1);
    for (const child of box.children) add(child, child.width, child.height);
    if (box.exit) add(box.exit, 1, 1);
    const links = box.links.map((link) => ({
      link, source: of.get(link.from), target: of.get(link.to), lanes: [],
    }));
    return { box, nodes, links, entry: of.get(box.entry), exit: of.get(box.exit) };
  }

  // Longest path from the top. Links that close a cycle (modules may take turns) do not count.
  function rank(graph) {
    const sorted = topological(graph);
    const start = graph.entry ? 1 : 0;
    for (const node of graph.nodes) node.rank = node === graph.entry ? 0 : start;
    for (const node of sorted) {
      for (const link of node.out) {
        link.target.rank = Math.max(link.target.rank, node.rank + 1);
      }
    }
    for (const node of sorted.reverse()) {
      // What reads nothing here stands right above who reads it.
      if (node.out.length && !node.into && node !== graph.entry) {
        node.rank = Math.max(start, Math.min(...node.out.map((link) => link.target.rank)) - 1);
      }
    }
    if (graph.exit) graph.exit.rank = Math.max(...graph.nodes.map((node) => node.rank));
    const alone = (node) => node !== graph.exit && node.rank === graph.exit?.rank;
    if (graph.exit && graph.nodes.some(alone)) graph.exit.rank += 1;
  }

  // Nodes, sources first; marks the links that lead back.
  function topological(graph) {
    for (const node of graph.nodes) [node.out, node.into, node.state] = [[], 0, 0];
    for (const link of graph.links) link.source.out.push(link);
    const finished = [];
    for (const root of graph.nodes) {
      if (root.state) continue;
      const stack = [[root, 0]];
      root.state = 1;
      while (stack.length) {
        const top = stack[stack.length - 1];
        const link = top[0].out[top[1]++];
        if (!link) {
          top[0].state = 2;
          finished.push(top[0]);
          stack.pop();
        } else if (link.target.state === 1) {
          link.isBack = true;
        } else if (!link.target.state) {
          link.target.state = 1;
          stack.push([link.target, 0]);
        }
      }
    }
    for (const node of graph.nodes) node.out = node.out.filter((link) => !link.isBack);
    for (const link of graph.links) if (!link.isBack) link.target.into += 1;
    return finished.reverse();
  }

  // A link over several ranks passes each of them in a lane.
  function addLanes(graph) {
    let lanes = 0;
    for (const link of graph.links) {
      const span = link.target.rank - link.source.rank;
      link.isFar = link.isBack || span > FAR || lanes > MOST_LANES;
      if (link.isFar) continue;
      let above = link.source;
      for (let at = link.source.rank + 1; at < link.target.rank; at++) {
        const lane = { isLane: true, width: LANE, height: 0, above: [above], below: [], rank: at, x: 0 };
        above.below.push(lane);
        graph.nodes.push(lane);
        link.lanes.push(lane);
        above = lane;
        lanes += 1;
      }
      above.below.push(link.target);
      link.target.above.push(above);
    }
  }

  function order(graph) {
    const ranks = [];
    for (const node of graph.nodes) (ranks[node.rank] ??= []).push(node);
    for (let at = 0; at < ranks.length; at++) ranks[at] ??= [];
    const number = (nodes) => nodes.forEach((node, place) => (node.place = place));
    ranks.forEach(number);
    const sort = (nodes, side) => {
      if (nodes.length < 2) return;
      for (const node of nodes) node.weight = barycentre(node, side);
      nodes.sort((one, other) => one.weight - other.weight || one.place - other.place);
      number(nodes);
    };
    for (let sweep = 0; sweep < 3; sweep++) {
      ranks.forEach((nodes) => sort(nodes, "above"));
      for (let at = ranks.length - 1; at >= 0; at--) sort(ranks[at], "below");
    }
    ranks.forEach((nodes) => sort(nodes, "above"));
    return ranks;
  }

  function barycentre(node, side) {
    const neighbours = node[side];
    if (!neighbours.length) return node.place;
    let sum = 0;
    for (const found of neighbours) sum += found.place;
    return sum / neighbours.length;
  }

  function align(graph, ranks) {
    const down = (nodes) => settle(nodes, "above");
    for (let sweep = 0; sweep < 4; sweep++) {
      ranks.forEach(down);
      for (let at = ranks.length - 1; at >= 0; at--) settle(ranks[at], "below");
    }
    ranks.forEach(down);
    for (const link of graph.links) straighten(link, ranks);
  }

  // Each node as near as can be to where it wants to be, in order and apart: neighbours that are
  // too close move as one block to where all of them want to be on average.
  function settle(nodes, side) {
    const blocks = [];
    let offset = 0;
    for (const [place, node] of nodes.entries()) {
      if (place) offset += apart(nodes[place - 1], node);
      node.offset = offset;
      const weight = node.isLane ? 0.02 : 1;
      blocks.push({ sum: weight * (wanted(node, side) - offset), weight, nodes: [node] });
      while (blocks.length > 1 && mean(blocks.at(-2)) > mean(blocks.at(-1))) {
        const last = blocks.pop();
        const before = blocks.at(-1);
        before.sum += last.sum;
        before.weight += last.weight;
        before.nodes.push(...last.nodes);
      }
    }
    for (const block of blocks) {
      for (const node of block.nodes) node.x = mean(block) + node.offset;
    }
  }

  const mean = (block) => block.sum / block.weight;
  const apart = (one, other) =>
    (one.width + other.width) / 2 + (one.isLane && other.isLane ? 2 : GAP_X / (one.isLane || other.isLane ? 2 : 1));

  // Below the boxes that it reads from; lanes count where there are no boxes.
  function wanted(node, side) {
    const boxes = node.isLane ? node[side] : node[side].filter((found) => !found.isLane);
    const near = boxes.length ? boxes : node[side];
    if (!near.length) return node.x;
    let sum = 0;
    for (const found of near) sum += found.x;
    return sum / near.length;
  }

  // The lanes of one link in one line, where there is room.
  function straighten(link, ranks) {
    if (link.lanes.length < 2) return;
    const x = Math.max(...link.lanes.map((lane) => lane.x));
    const hasRoom = link.lanes.every((lane) => {
      const next = ranks[lane.rank][lane.place + 1];
      return !next || next.x - x >= apart(lane, next);
    });
    if (hasRoom) for (const lane of link.lanes) lane.x = x;
  }

  // Ranks from top to bottom; as columns, side by side, where that is too tall.
  function setColumns(box, graph, ranks) {
    const heights = ranks.map((nodes) => Math.max(0, ...nodes.map((node) => node.height)));
    const gaps = gapsOf(graph, ranks);
    const columns = split(graph, ranks, heights, gaps);
    const isRoot = !box.parent;
    let left = PAD;
    const top = isRoot ? PAD : HEAD + 8;
    const bend = columns.length > 1 ? 14 : 0; // room for links between columns
    let bottom = top;
    for (const column of columns) {
      const nodes = column.ranks.flatMap((at) => ranks[at]);
      const low = Math.min(...nodes.map((node) => node.x - node.width / 2));
      const high = Math.max(...nodes.map((node) => node.x + node.width / 2));
      let y = top + bend;
      for (const at of column.ranks) {
        for (const node of ranks[at]) {
          node.column = column;
          node.x += left - low;
          node.top = y;
          node.bottom = node.isLane ? y + heights[at] : node.top + node.height;
        }
        y += heights[at] + gaps[at];
      }
      Object.assign(column, { left, right: left + high - low, top, passing: 0 });
      left = column.right + GUTTER;
      bottom = Math.max(bottom, y - gaps[column.ranks.at(-1)] + bend);
    }
    for (const column of columns) column.bottom = bottom;
    box.width = Math.max(left - GUTTER + PAD, headWidth(box));
    box.height = bottom + (isRoot ? PAD : box.exit ? 0 : PAD);
    const shift = (box.width - (left - GUTTER + PAD)) / 2;
    for (const node of graph.nodes) finish(node, graph, shift);
    for (const column of columns) [column.left, column.right] = [column.left + shift, column.right + shift];
    return columns;
  }

  // A heading must not be wider than its container.
  const headWidth = (box) => (box.parent ? CARD.width + 2 * PAD + (box.piece.kind === "repeat" ? 90 : 0) : 0);

  function finish(node, graph, shift) {
    node.x += shift;
    if (node === graph.entry) [node.top, node.bottom] = [HEAD - 2, HEAD + 2];
    if (node === graph.exit) [node.top, node.bottom] = [graph.box.height, graph.box.height];
    if (node.isLane) return;
    if (node.item.isEdgeOf) node.item.x = node.x;
    else [node.item.x, node.item.y] = [node.x - node.width / 2, node.top];
  }

  // Room below each rank.
  function gapsOf(graph, ranks) {
    return ranks.map((_, at) => {
      const isFirst = graph.entry && at === 0;
      const isLast = graph.exit && at === graph.exit.rank - 1;
      return isFirst || isLast ? GAP_END : GAP_Y;
    });
  }

  // Which ranks stand in which column: as few pixels high as that many columns can be. The ends of
  // a container stay with the ranks beside them.
  function split(graph, ranks, heights, gaps) {
    const all = ranks.map((_, at) => at);
    const needs = heights.map((each, at) => each + gaps[at]);
    const height = needs.reduce((sum, each) => sum + each, 0);
    const width = Math.max(
      ...ranks.map((nodes) => nodes.reduce((sum, node) => sum + node.width + GAP_X, GUTTER)));
    const count = Math.min(ranks.length, Math.round(Math.sqrt((ASPECT * height) / width)));
    if (height < TALL || count < 2) return [{ ranks: all }];
    const isGlued = (at) => (graph.entry && at === 1) || (graph.exit && at === graph.exit.rank);
    let [low, high] = [Math.max(...needs), height];
    while (high - low > 1) {
      const middle = (low + high) / 2;
      if (filled(needs, middle, isGlued).length <= count) high = middle;
      else low = middle;
    }
    // One tall rank makes columns no shorter, only emptier.
    return high < WORTH * height ? filled(needs, high, isGlued) : [{ ranks: all }];
  }

  function filled(needs, most, isGlued) {
    const columns = [{ ranks: [0] }];
    let used = needs[0];
    for (let at = 1; at < needs.length; at++) {
      if (used + needs[at] > most && !isGlued(at)) {
        columns.push({ ranks: [] });
        used = 0;
      }
      columns.at(-1).ranks.push(at);
      used += needs[at];
    }
    return columns;
  }

  return { CARD, GAP_Y, HEAD, layOut };
})();
