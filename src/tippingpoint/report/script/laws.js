// The laws and the costs, as `planner.py` has them; the tests hold the one against the other.

/** Return the law's value from floor, logs of coefficients, exponents (1 + 2k numbers from `start`) at log sizes. */
function lawAt(numbers, start, logs) {
  let total = numbers[start];
  const k = logs.length;
  for (let j = 0; j < k; j++) total += Math.exp(numbers[start + 1 + j] - numbers[start + 1 + k + j] * logs[j]);
  return total;
}

/** Return the quantile of sorted numbers, joined linearly as numpy does. */
function quantile(sorted, share) {
  const place = share * (sorted.length - 1);
  const low = Math.floor(place);
  const high = Math.min(low + 1, sorted.length - 1);
  return sorted[low] + (place - low) * (sorted[high] - sorted[low]);
}

/** Return the height of a broken line at x; its first and last pieces go on beyond its ends. */
function lineAt(xs, ys, x) {
  let piece = 0;
  while (piece < xs.length - 2 && x > xs[piece + 1]) piece++;
  return ys[piece] + ((ys[piece + 1] - ys[piece]) / (xs[piece + 1] - xs[piece])) * (x - xs[piece]);
}

/** Return the FLOPs of one training: a sum of parts, each a product of one factor for each size. */
function flopsAt(parts, sizes) {
  return parts.reduce((sum, { level, knots }) => {
    const terms = Object.entries(knots).map(([name, [xs, ys]]) => lineAt(xs, ys, Math.log(sizes[name])));
    return sum + Math.exp(terms.reduce((a, b) => a + b, level));
  }, 0);
}

const offered = (law, sizes) => !law.levels.n_params || law.levels.n_params.includes(sizes.n_params);

/** Return what every recipe comes to; `Plan.at` in planner.py is the same in Python. */
function offersAt(plan, sizes, prices) {
  const found = plan.laws
    .filter((law) => offered(law, sizes))
    .map((law) => {
      const logs = law.axes.map((axis) => Math.log(sizes[axis]));
      const width = 1 + 2 * logs.length;
      const draws = Float64Array.from({ length: law.draws.length / width }, (_, r) =>
        lawAt(law.draws, r * width, logs),
      );
      const sorted = draws.slice().sort();
      const tail = (1 - plan.level) / 2;
      const hours = plan.flops_per_hour ? flopsAt(law.flops, sizes) / plan.flops_per_hour : 0;
      return {
        law,
        draws,
        name: law.name,
        value: lawAt(law.parameters, 0, logs),
        low: quantile(sorted, tail),
        high: quantile(sorted, 1 - tail),
        images: law.levels.n_pretrain ? prices.image * sizes.n_pretrain : 0,
        labels: law.levels.n_finetune ? prices.label * sizes.n_finetune : 0,
        compute: prices.gpu_hour * hours,
        chance: 0,
      };
    });
  const count = found.length ? found[0].draws.length : 0;
  for (let r = 0; r < count; r++) {
    const best = found.reduce((a, b) => (b.draws[r] < a.draws[r] ? b : a));
    best.chance += 1 / count;
  }
  for (const offer of found) offer.cost = offer.images + offer.labels + offer.compute;
  return found;
}

function unpacked(plan) {
  for (const law of plan.laws) {
    const bytes = Uint8Array.from(atob(law.draws), (letter) => letter.charCodeAt(0));
    law.draws = new Float32Array(bytes.buffer);
    law.parameters = law.parameters.map((value) => (value === null ? -Infinity : value));
  }
  return plan;
}
