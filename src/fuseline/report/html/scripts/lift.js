// What is drawn: the outline cut off where modules are closed, and every edge lifted to what is
// drawn of its two ends. Of a folded repeat the first copy stands for all.
//
// A box: { key, piece, parent, depth, children, isCard, links }. A link joins two children of one
// container, or a child and the container's own port: { from, to, bytes, ways }.

const Lift = (() => {
  const OPEN = "open"; // of a repeat: its first copy is drawn
  const ALL = "all"; // of a repeat: every copy is drawn
  const DRAWN_AT_FIRST = 60;

  // Opens modules level by level, as long as few boxes are drawn: any model is drawn at once.
  function opened(plan) {
    const open = new Map([[plan.root.id, OPEN]]);
    const queue = [...inside(plan.root, OPEN)];
    let drawn = queue.length;
    for (let next = 0; next < queue.length; next++) {
      const children = inside(queue[next], OPEN);
      if (!children.length || drawn + children.length - 1 > DRAWN_AT_FIRST) continue;
      open.set(queue[next].id, OPEN);
      drawn += children.length - 1;
      queue.push(...children);
    }
    return open;
  }

  // What stands in a piece that is open. A copy of a single group is that group.
  function inside(piece, how) {
    if (piece.kind !== "repeat") return piece.children;
    if (how !== ALL) return piece.children[0].children;
    const isOne = (copy) => copy.children.length === 1 && copy.children[0].kind === "group";
    return piece.children.map((copy) => (isOne(copy) ? copy.children[0] : copy));
  }

  function lifted(plan, open) {
    const drawing = { plan, open, boxes: [], homes: [], copies: [], known: new Map() };
    drawing.root = grown(drawing, plan.root, null, 0);
    addPorts(drawing);
    for (const edge of plan.edges) addEdge(drawing, edge);
    for (const box of drawing.boxes) finish(box);
    drawing.widest = drawing.boxes.reduce((most, box) =>
      box.links.reduce((more, link) => Math.max(more, link.bytes), most), 1);
    return drawing;
  }

  function grown(drawing, piece, parent, depth) {
    const how = piece.kind === "group" ? undefined : drawing.open.get(piece.id);
    const box = { key: String(piece.id), piece, parent, depth, how, children: [], links: new Map() };
    drawing.boxes.push(box);
    // Inside a folded repeat one copy is drawn: figures there are of each.
    box.isEach = Boolean(parent) && (parent.isEach || (parent.piece.kind === "repeat" && parent.how !== ALL));
    box.isCard = how === undefined;
    if (box.isCard) {
      for (let leaf = piece.first; leaf < piece.end; leaf++) drawing.homes[leaf] = box;
      return box;
    }
    box.children = inside(piece, how).map((child) => grown(drawing, child, box, depth + 1));
    if (piece.kind === "repeat" && how !== ALL) mirror(drawing, piece);
    return box;
  }

  // The groups of every copy have the boxes of the first copy's. `copies` says of which repeats a
  // group is in which copy.
  function mirror(drawing, repeat) {
    const first = repeat.children[0];
    const within = drawing.copies.slice(first.first, first.end);
    for (const copy of repeat.children) {
      for (let place = 0; place < first.end - first.first; place++) {
        drawing.homes[copy.first + place] = drawing.homes[first.first + place];
        drawing.copies[copy.first + place] = copyIn(drawing, within[place], repeat.id, copy.place);
      }
    }
  }

  // One list for all groups that are in the same copies of the same repeats.
  function copyIn(drawing, within, repeat, copy) {
    const key = `${within ? within.key : ""}|${repeat}:${copy}`;
    if (!drawing.known.has(key)) {
      const list = [...(within ? within.list : []), [repeat, copy]];
      drawing.known.set(key, { key, list });
    }
    return drawing.known.get(key);
  }

  // Where the model's inputs come from and its outputs go to, each a box of the outermost module.
  function addPorts(drawing) {
    const { root, plan } = drawing;
    const port = (key, name) => ({
      key, name, parent: root, depth: 1, children: [], links: new Map(), isCard: true, isPort: true,
    });
    if (plan.edges.some((edge) => edge.source === State.INPUT)) {
      drawing.input = port("input", "input");
      root.children.unshift(drawing.input);
    }
    if (plan.edges.some((edge) => edge.target === State.OUTPUT)) {
      drawing.output = port("output", "output");
      root.children.push(drawing.output);
    }
    drawing.boxes.push(...[drawing.input, drawing.output].filter(Boolean));
  }

  function addEdge(drawing, edge) {
    const source = endOf(drawing, edge.source);
    const target = endOf(drawing, edge.target);
    if (!source.box || !target.box || source.box === target.box) return;
    const way = wayOf(source.copies, target.copies);
    if (way === null) return;
    let [from, to] = [source.box, target.box];
    const add = (container, one, other) => addLink(container, one, other, way, edge);
    while (from.depth > to.depth) {
      add(from.parent, from, portOf(from.parent, "exit"));
      from = from.parent;
    }
    while (to.depth > from.depth) {
      add(to.parent, portOf(to.parent, "entry"), to);
      to = to.parent;
    }
    while (from.parent !== to.parent) {
      add(from.parent, from, portOf(from.parent, "exit"));
      add(to.parent, portOf(to.parent, "entry"), to);
      [from, to] = [from.parent, to.parent];
    }
    add(from.parent, from, to);
  }

  function endOf(drawing, group) {
    if (group === State.INPUT) return { box: drawing.input };
    if (group === State.OUTPUT) return { box: drawing.output };
    const piece = drawing.plan.pieceOf.get(group);
    if (!piece) return {};
    return { box: drawing.homes[piece.first], copies: drawing.copies[piece.first] };
  }

  // By which copies an edge runs; null where the first copy's edges show it already, or where it
  // leads from one copy to the next, which are one and the same box.
  function wayOf(source, target) {
    if (!source && !target) return "";
    const at = new Map(source ? source.list : []);
    let way = "";
    for (const [repeat, copy] of target ? target.list : []) {
      if (!at.has(repeat)) way += `>${repeat}:${copy}`;
      else if (at.get(repeat) !== copy || copy !== 0) return null;
      else at.delete(repeat);
    }
    for (const [repeat, copy] of at) way += `<${repeat}:${copy}`;
    return way;
  }

  function portOf(container, which) {
    container[which] ??= { key: `${which}-${container.key}`, isEdgeOf: container, which };
    return container[which];
  }

  function addLink(container, from, to, way, edge) {
    const key = `${from.key}>${to.key}`;
    if (!container.links.has(key)) container.links.set(key, { from, to, ways: new Map() });
    const { ways } = container.links.get(key);
    if (!ways.has(way)) ways.set(way, new Map());
    const bySource = ways.get(way);
    // What one group leaves may be read by several: counted once.
    bySource.set(edge.source, Math.max(bySource.get(edge.source) ?? 0, edge.bytes));
  }

  // Bytes of a link: those of one copy, where several run the same way.
  function finish(box) {
    box.links = [...box.links.values()].map(({ from, to, ways }) => {
      const sums = [...ways.values()].map((sources) => {
        let sum = 0;
        for (const bytes of sources.values()) sum += bytes;
        return sum;
      });
      return { from, to, bytes: Math.max(...sums), ways: ways.size };
    });
  }

  return { ALL, OPEN, inside, lifted, opened };
})();
