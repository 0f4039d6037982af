// Figures as people read them. Units are decimal: 1 MB is 1,000,000 bytes.

const Figures = (() => {
  const BYTES = [[1e12, "TB"], [1e9, "GB"], [1e6, "MB"], [1e3, "kB"]];
  const FLOPS = [[1e15, "PFLOP"], [1e12, "TFLOP"], [1e9, "GFLOP"], [1e6, "MFLOP"], [1e3, "kFLOP"]];
  const TIMES = [[1, "s"], [1e-3, "ms"], [1e-6, "µs"], [1e-9, "ns"], [1e-12, "ps"]];
  const NOTHING = "-";

  const whole = (value) => (value === null ? NOTHING : value.toLocaleString("en"));

  // Three digits and the unit that fits.
  function scaled(value, units, least) {
    if (value === null) return NOTHING;
    for (const [size, unit] of units) {
      if (Math.abs(value) >= size) return `${digits(value / size)} ${unit}`;
    }
    return `${digits(value)} ${least}`;
  }

  const digits = (value) =>
    value.toLocaleString("en", { maximumSignificantDigits: Math.abs(value) >= 1000 ? 4 : 3 });

  const bytes = (value) => scaled(value, BYTES, "B");
  const flops = (value) => scaled(value, FLOPS, "FLOP");
  const seconds = (value) => (value === 0 ? "0 s" : scaled(value, TIMES, "s"));
  const exactBytes = (value) => (value === null ? NOTHING : `${whole(value)} bytes`);
  const microseconds = (value) =>
    value === null ? NOTHING : (value * 1e6).toLocaleString("en", FIXED(value ? 3 : 0));
  const ratio = (value) => (value === null ? NOTHING : value.toLocaleString("en", FIXED(2)));
  const FIXED = (places) => ({ minimumFractionDigits: places, maximumFractionDigits: places });
  const share = (part, all) => (all ? `${((100 * part) / all).toFixed(1)}%` : NOTHING);
  const count = (number, noun, plural = "s") =>
    `${whole(number)} ${noun}${number === 1 ? "" : plural}`;

  // What leaves unknown ops out says so.
  const atLeast = (text, unknown) => (unknown ? `>= ${text} + ${whole(unknown)} unknown` : text);

  return { atLeast, bytes, count, exactBytes, flops, microseconds, ratio, seconds, share, whole };
})();
