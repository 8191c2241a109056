/* rates: the interval of a rate by the rules of isr.stats (rate.py, endpoints.py, variance.py), so that what is shown has one too.
   tests/browser/test_slice.py holds every number of this file against Python's. */
const rateOf = (() => {
/* log of the gamma function: Stirling's series (DLMF 5.11.1) from 15 on, and x! = x (x - 1)! below */
const lnGamma = (x) => {
  let down = 0;
  for (; x < 15; x++) down += Math.log(x);
  const y = 1 / (x * x);
  return (x - 0.5) * Math.log(x) - x + 0.9189385332046727 + (1 / 12 - y * (1 / 360 - y * (1 / 1260 - y / 1680))) / x - down;
};

/* regularized incomplete beta function: its continued fraction (DLMF 8.17.22) by Lentz's method; logB: ln B(a, b) */
const betaShare = (x, a, b, logB) => {
  if (x <= 0 || x >= 1) return x <= 0 ? 0 : 1;
  if (x > (a + 1) / (a + b + 2)) return 1 - betaShare(1 - x, b, a, logB);
  const safe = (v) => (Math.abs(v) < 1e-300 ? 1e-300 : v);
  let c = 1, d = 1 / safe(1 - ((a + b) * x) / (a + 1)), out = d;
  for (let m = 1; m < 10000; m++) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    let change = 1;
    for (const term of [even, odd]) {
      d = 1 / safe(1 + term * d);
      c = safe(1 + term / c);
      change = c * d;
      out *= change;
    }
    if (Math.abs(change - 1) < 1e-15) break;
  }
  return (Math.exp(a * Math.log(x) + b * Math.log1p(-x) - logB) / a) * out;
};
const logBeta = (a, b) => lnGamma(a) + lnGamma(b) - lnGamma(a + b);

/* its inverse: Newton's step where it stays between the ends that are known, else their middle */
const betaQuantile = (p, a, b) => {
  const logB = logBeta(a, b);
  let low = 0, high = 1, x = a / (a + b);
  for (let i = 0; i < 200; i++) {
    const miss = betaShare(x, a, b, logB) - p;
    if (miss > 0) high = x;
    else low = x;
    const slope = Math.exp((a - 1) * Math.log(x) + (b - 1) * Math.log1p(-x) - logB);
    const next = x - miss / slope;
    const to = next > low && next < high ? next : (low + high) / 2;
    if (Math.abs(to - x) <= 1e-14 * to || high - low < 1e-16) return to;
    x = to;
  }
  return x;
};

const known = new Map(); // quantiles of t: few df, asked for again and again
const tQuantile = (tail, df) => {
  const key = `${tail} ${df}`;
  if (!known.has(key)) {
    const x = betaQuantile(2 * tail, df / 2, 0.5);
    known.set(key, -Math.sqrt((df * (1 - x)) / x));
  }
  return known.get(key);
};

const sum = (values, f = (v) => v) => { let out = 0; for (let i = 0; i < values.length; i++) out += f(values[i], i); return out; };
const betaEnds = (k, n, tail) => [k <= 0 ? 0 : betaQuantile(tail, k, n - k + 1), k >= n ? 1 : betaQuantile(1 - tail, k + 1, n - k)];
const designEffect = (variance, p, n) => { const iid = (p * (1 - p)) / (n - 1); return iid > 0 ? variance / iid : NaN; };
const effectiveN = (deff, n, df, tail) => Math.min(n, (n / Math.max(deff, 1e-300)) * (tQuantile(tail, n - 1) / tQuantile(tail, df)) ** 2);
const isFull = (s, w) => s >= w * (1 - 1e-12);
const touchedOf = (s, w) => Math.min(sum(s, (v) => Number(v > 0)), sum(s, (v, i) => Number(!isFull(v, w[i]))));

/* rules 1 and 2: logit-t, or Korn and Graubard's where the rarer outcome is in fewer than five images */
const FEW = 5, PRIOR = 6, ICC = 0.5, PROMPT_ICC = 0.1, FEW_PROMPTS = 10;
const kornGraubard = (p, deff, n, df, tail) => {
  const star = effectiveN(Number.isNaN(deff) ? 1 : deff, n, df, tail);
  return [p * star, star];
};
const ruled = (p, variance, touched, n, df, tail) => {
  const floored = Math.max(variance, (p * (1 - p)) / (n - 1));
  if (touched < FEW) return { beta: kornGraubard(p, designEffect(floored, p, n), n, df, tail) };
  if (p <= 0 || p >= 1) return { ends: [0, 1] };
  const half = (-tQuantile(tail, df) * Math.sqrt(floored)) / (p * (1 - p)), centre = Math.log(p / (1 - p));
  return { ends: [1 / (1 + Math.exp(half - centre)), 1 / (1 + Math.exp(-half - centre))] };
};
const endpoints = (...given) => {
  const { beta, ends } = ruled(...given);
  return ends || betaEnds(...beta, given[5]);
};
const raised = (seen, touched, prior) => seen + Math.max(1 - touched / PRIOR, 0) * Math.max(prior - seen, 0);
const atLeastOne = (deff) => Math.max(Number.isNaN(deff) ? 1 : deff, 1);
const zeroLimit = (n, prior, df, tail) => -Math.expm1(Math.log(tail) / effectiveN(prior, n, df, tail));

/* the points of a path: failures are put back image after image, from `first` to `last`, one edit at a time */
const walk = function* (w, first, last, unit, used, reserved) {
  const full = (some) => sum(some, (v, i) => Number(isFull(v, w[i])));
  const has = (some) => sum(some, (v) => Number(v > 0));
  let k = sum(first), squares = sum(first, (v) => v * v), cross = sum(first, (v, i) => v * w[i]), hit = has(first), done = full(first);
  for (let g = 0; g < w.length; g++) {
    const [a, b, size] = [first[g], last[g], w[g]];
    k -= a; squares -= a * a; cross -= a * size; hit -= Number(a > 0); done -= Number(isFull(a, size));
    if (used(g)) {
      const count = Math.ceil((b - a) / unit - 1e-9);
      for (let nth = reserved && g === 0 ? 0 : 1; nth <= count; nth++) {
        const x = Math.min(a + nth * unit, b);
        yield [k + x, squares + x * x, cross + x * size, hit + Number(x > 0), w.length - done - Number(isFull(x, size))];
      }
    }
    k += b; squares += b * b; cross += b * size; hit += Number(b > 0); done += Number(isFull(b, size));
  }
};

/* rules 3 and 4: the largest upper endpoint over all data with some of the failures taken away */
const upper = (sums, sizes, n, tail) => {
  const order = [...sums.keys()].sort((a, b) => sums[b] - sums[a] || sizes[a] - sizes[b]); // equal ones as isr.stats.rows has them
  const s = order.map((i) => sums[i]), w = order.map((i) => sizes[i]), groups = s.length, df = groups - 1;
  const whole = sum(w), square = sum(w, (v) => v * v), unit = whole / n;
  const prior = Math.max(1 + ((square * n) / whole ** 2 - 1) * ICC, 1);
  let best = zeroLimit(n, prior, df, tail);
  const follow = (first, last, used, reserved) => {
    for (const [k, squares, cross, hit, spared] of walk(w, first, last, unit, used, reserved)) {
      const touched = Math.min(hit, spared);
      if (reserved && touched < FEW) continue;
      const p = spared === 0 ? 1 : Math.min(k / whole, 1);
      const variance = ((groups / (groups - 1)) * Math.max(squares - 2 * p * cross + p * p * square, 0)) / whole ** 2;
      const deff = raised(atLeastOne(designEffect(variance, p, n)), touched, prior);
      const { beta, ends } = ruled(p, (deff * p * (1 - p)) / (n - 1), touched, n, df, tail);
      if (ends) best = Math.max(best, ends[1]);
      else if (beta[0] >= beta[1]) best = 1;
      // a quantile is dear: it is sought only where it lies above the best so far
      else if (betaShare(best, beta[0] + 1, beta[1] - beta[0], logBeta(beta[0] + 1, beta[1] - beta[0])) < 1 - tail) {
        best = Math.max(best, betaEnds(...beta, tail)[1]);
      }
    }
  };
  follow(s.map(() => 0), s, () => true, false);
  if (groups >= FEW && s[FEW - 1] > 0) {
    const first = s.map((v, i) => (i < FEW ? Math.min(unit, v) : 0));
    const last = s.map((v, i) => (i >= groups - FEW && v > w[i] - unit ? w[i] - unit : v));
    if (last.every((v, i) => v >= first[i] - 1e-12)) follow(first, last, (g) => g < FEW || g >= groups - FEW, true);
  }
  return best;
};

const cr1 = ([s, w]) => {
  const total = sum(w), mean = sum(s) / total;
  return ((s.length / (s.length - 1)) * sum(s, (v, i) => (v - mean * w[i]) ** 2)) / total ** 2;
};
const rateCore = ([s, w], given, tail, correction) => {
  const total = sum(w), n = Math.max(given, 1.5), value = sum(s) / total;
  let high = upper(s, w, n, tail), low = 1 - upper(s.map((v, i) => w[i] - v), w, n, tail);
  const most = w.reduce((a, b) => Math.max(a, b), 0), least = w.reduce((a, b) => Math.min(a, b), most);
  if (correction === "CR2" && most - least > 1e-9 * most) {
    const square = sum(w, (v) => v * v), df = Math.max(total ** 2 / square - 1, 1), touched = touchedOf(s, w);
    const p = Math.min(Math.max(value, 0), 1);
    const variance = sum(s, (v, i) => ((v - value * w[i]) ** 2 * total) / Math.max(total - w[i], 1e-12 * total)) / total ** 2;
    const prior = Math.max(1 + ((square * n) / total ** 2 - 1) * ICC, 1);
    const deff = raised(atLeastOne(designEffect(variance, p, n)), touched, prior);
    const ends = endpoints(p, (deff * p * (1 - p)) / (n - 1), touched, n, df, tail);
    low = Math.min(low, ends[0]);
    high = Math.max(high, ends[1]);
  }
  return [Math.min(low, value), Math.max(high, value)];
};

/* images and prompts both a sample: Cameron, Gelbach and Miller's variance, Satterthwaite's degrees of freedom */
const twoWay = (image, prompt, cell) => {
  const [a, b, c] = [cr1(image), cr1(prompt), cr1(cell)], [g, h] = [image[0].length, prompt[0].length];
  const few = Math.min(g, h) - 1, down = (a * a) / (g - 1) + (b * b) / (h - 1);
  return { variance: Math.max(a + b - c, a, b), few, df: Math.min(g, h) < FEW_PROMPTS ? few : down > 0 ? (a + b) ** 2 / down : g - 1 };
};
const twoWayCore = (image, prompt, cell, given, tail) => {
  const [s, w] = image, total = sum(w), n = Math.max(given, 1.5), value = sum(s) / total;
  const { variance, few, df } = twoWay(image, prompt, cell);
  const [low, high] = endpoints(Math.min(Math.max(value, 0), 1), variance, touchedOf(s, w), n, df, tail);
  const mates = (sizes) => (sum(sizes, (v) => v * v) * n) / total ** 2 - 1;
  const zero = zeroLimit(n, Math.max(1 + ICC * mates(w) + PROMPT_ICC * mates(prompt[1]), 1), few, tail);
  return [Math.min(low, 1 - zero, value), Math.max(high, zero, value)];
};

const grouped = (rows, y, weight, by) => {
  const place = new Map(), s = [], w = [];
  rows.forEach((row, i) => {
    const key = by(row);
    if (!place.has(key)) { place.set(key, s.length); s.push(0); w.push(0); }
    const at = place.get(key);
    s[at] += weight[i] * y[i];
    w[at] += weight[i];
  });
  return [s, w];
};
const INDEPENDENT = {
  wilson: (k, n, { z }) => {
    const p = k / n, centre = (p + (z * z) / (2 * n)) / (1 + (z * z) / n);
    const half = (z / (1 + (z * z) / n)) * Math.sqrt((p * (1 - p)) / n + (z * z) / (4 * n * n));
    return [k <= 0 ? 0 : centre - half, k >= n ? 1 : centre + half];
  },
  "clopper-pearson": (k, n, { tail }) => betaEnds(k, n, tail),
  jeffreys: (k, n, { tail }) => [k <= 0 ? 0 : betaQuantile(tail, k + 0.5, n - k + 0.5), k >= n ? 1 : betaQuantile(1 - tail, k + 0.5, n - k + 0.5)],
};
const NOT_HERE = "no interval here";
/* { value, low, high, n, images, note } of 0/1 outcomes y; made: how the run's intervals are made */
const rateInterval = (rows, y, made) => {
  const n = rows.length, tail = (1 - made.level) / 2;
  const images = new Set(rows.map((r) => r.image)).size;
  const none = (value, note) => ({ value, low: null, high: null, n, images, note });
  if (!n) return none(null, "no decided edit: there is no rate");
  const counts = new Map();
  rows.forEach((r) => counts.set(r.image, (counts.get(r.image) || 0) + 1));
  const weight = rows.map((r) => (made.estimand === "image-mean" ? 1 / counts.get(r.image) : 1));
  const kish = made.estimand === "image-mean" ? sum(weight) ** 2 / sum(weight, (v) => v * v) : n;
  const image = grouped(rows, y, weight, (r) => r.image);
  const value = Math.min(Math.max(sum(image[0]) / sum(image[1]), 0), 1);
  const random = made.prompts === "random";
  let ends;
  if (made.until !== null) return none(value, NOT_HERE);
  if (Object.hasOwn(INDEPENDENT, made.interval)) ends = INDEPENDENT[made.interval](sum(image[0]), n, { z: made.z, tail });
  else if (images < 2) return none(value, "one image: no interval");
  else {
    const prompt = random && grouped(rows, y, weight, (r) => r.prompt);
    const cell = random && grouped(rows, y, weight, (r) => JSON.stringify([r.image, r.prompt]));
    if (random && prompt[0].length < 2) return none(value, "one prompt taken as a sample of prompts: no interval");
    if (made.interval === "logit-t") ends = random ? twoWayCore(image, prompt, cell, kish, tail) : rateCore(image, kish, tail, made.correction);
    else if (made.interval === "korn-graubard") {
      const { variance, df } = random ? twoWay(image, prompt, cell) : { variance: cr1(image), df: images - 1 };
      const floored = Math.max(variance, (value * (1 - value)) / Math.max(kish - 1, 1));
      ends = betaEnds(...kornGraubard(value, designEffect(floored, value, kish), kish, df, tail), tail);
    } else return none(value, NOT_HERE);
  }
  return { value, low: Math.min(ends[0], value), high: Math.max(ends[1], value), n, images, note: "" };
};

/* the rate of rows { image, prompt, code } (4: decided, 2: possibly, 1: certainly), with its bounds and what holds within them:
   isr.scoring.estimates.Rates.of. `range`: too many are undecided for one value */
const UNDECIDED_SHARE = 0.05;
return (rows, made) => {
  const low = rows.map((r) => r.code & 1), high = rows.map((r) => (r.code >> 1) & 1);
  const closed = low.every((v, i) => v === high[i]);
  const decided = rows.map((r) => (made.rules > 1 && closed) || (r.code & 4) > 0);
  const used = rows.filter((_, i) => decided[i]);
  const found = rateInterval(used, low.filter((_, i) => decided[i]), made);
  const out = { ...found, of: rows.length, bounds: null, identified: null, range: false };
  if (!rows.length) return out;
  const [least, most] = closed ? [] : [rateInterval(rows, low, made), rateInterval(rows, high, made)];
  out.bounds = closed ? null : [least.value, most.value];
  if (closed || made.rules < 2) return { ...out, range: !closed && rows.length - found.n > UNDECIDED_SHARE * rows.length };
  if (least.low !== null && most.high !== null) out.identified = [least.low, most.high];
  if (out.value !== null) {
    const value = Math.min(Math.max(out.value, out.bounds[0]), out.bounds[1]);
    if (value !== out.value) {
      if (out.low !== null) { out.low = Math.min(out.low, value); out.high = Math.max(out.high, value); }
      out.value = value;
    }
  }
  out.range = rows.length - found.n > UNDECIDED_SHARE * rows.length;
  return out;
};
})();
