// What is known of a group, a module, a link, as pairs of a name and a text: tooltips and the
// panel of details print these.

const Facts = (() => {
  const OPS = 5;

  const whyBound = (name) => Data.meanings[name] ?? name;

  function ofGroup(group) {
    const facts = [
      ["bytes moved", `${Figures.exactBytes(group.traffic_bytes)} (${Figures.bytes(group.traffic_bytes)})`],
      ["read", Figures.exactBytes(group.read_bytes)],
      ["parameters", Figures.exactBytes(group.parameter_bytes)],
      ["written", Figures.exactBytes(group.written_bytes)],
      ["saved by fusing", Figures.exactBytes(group.saved_bytes)],
      ["FLOPs", Figures.atLeast(Figures.whole(group.flops), group.unknown_ops)],
      ["other FLOPs", Figures.atLeast(Figures.whole(group.other_flops), group.unknown_ops)],
      ["FLOP/byte", (group.unknown_ops ? ">= " : "") + Figures.ratio(group.arithmetic_intensity)],
    ];
    const rule = State.plan().broken.get(group.id);
    if (rule) facts.push([noKernel(), `breaks "${rule}"`]);
    if (group.bottleneck) facts.push(["bound by", `${group.bottleneck}: ${whyBound(group.bottleneck)}`]);
    if (group.seconds !== null) {
      facts.push([timeName(), Figures.seconds(group.seconds) + (group.isPart ? ", in part: no source gives the rate of its other FLOPs" : "")]);
      facts.push(["terms of time", terms(group)]);
    }
    if (group.unknown_ops) facts.push(["unknown ops", `${group.unknown_ops}: in no FLOPs and no time`]);
    return facts;
  }

  const noKernel = () => `no kernel under rules ${State.plan().judged_by}`;

  // By a device's peaks a time is a bound, by rates measured on it an estimate.
  const timeName = () => (State.plan().plan.roofline?.rated ? "time, predicted" : "time, at least");

  const terms = (group) =>
    [["compute", group.compute_seconds], ["vector", group.vector_seconds],
      ["bandwidth", group.bandwidth_seconds], ["launch", group.launch_seconds]]
      .map(([name, value]) => `${name} ${value === null ? "not known" : Figures.seconds(value)}`)
      .join(", ");

  function ofPiece(piece) {
    const { totals } = piece;
    const plan = State.plan();
    const facts = [
      ["kernels", Figures.whole(totals.launches)],
      ["bytes moved", `${Figures.exactBytes(totals.traffic_bytes)} (${Figures.share(totals.traffic_bytes, plan.total)} of all)`],
      ["saved by fusing", Figures.exactBytes(totals.saved_bytes)],
      ["FLOPs", Figures.atLeast(Figures.whole(totals.flops), piece.unknown)],
      ["other FLOPs", Figures.atLeast(Figures.whole(totals.other_flops), piece.unknown)],
    ];
    if (totals.seconds !== null) {
      const part = piece.partly ? `, ${Figures.count(piece.partly, "kernel")} in part` : "";
      facts.push([`${timeName()}, one by one`, Figures.seconds(totals.seconds) + part]);
    }
    if (piece.broken) facts.push([noKernel(), Figures.count(piece.broken, "group")]);
    facts.push(["bound by", shares(piece).map(({ name, count }) => `${name} ${count}`).join(", ")]);
    return facts;
  }

  // Kernels and bytes inside a piece, by what bounds them.
  function shares(piece) {
    if (piece.shares) return piece.shares;
    const { byId, leaves } = State.plan();
    const found = new Map();
    for (let leaf = piece.first; leaf < piece.end; leaf++) {
      const group = byId.get(leaves[leaf]);
      const name = group.bottleneck || "unknown";
      if (!found.has(name)) found.set(name, { name, count: 0, bytes: 0 });
      found.get(name).count += 1;
      found.get(name).bytes += group.traffic_bytes;
    }
    piece.shares = [...found.values()].sort((one, other) => other.bytes - one.bytes);
    return piece.shares;
  }

  const opText = (op) => `${op.name}: ${op.inputs.join(", ") || "nothing"} → ${op.outputs.join(", ")}`;

  // The ops of a group as lines; the first few, and how many more there are.
  function opLines(group) {
    const lines = group.computing.slice(0, OPS).map((id) => opText(Data.ops[id]));
    const more = group.computing.length - lines.length;
    if (more > 0) lines.push(`and ${Figures.count(more, "more compute op")}`);
    if (group.silent) lines.push(`and ${Figures.count(group.silent, "view or control op", "s")}: no bytes`);
    return lines;
  }

  const nameOfPiece = (piece) =>
    piece.kind === "repeat" ? `${piece.name} (×${piece.children.length})` : piece.name || Data.model.name;

  return { noKernel, nameOfPiece, ofGroup, ofPiece, opLines, shares, whyBound };
})();
