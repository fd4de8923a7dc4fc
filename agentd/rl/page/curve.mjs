/** The learning curve on a canvas: a mark a rally, and the mean of ten as a line. */

const [LEFT, RIGHT, TOP, BOTTOM] = [26, 6, 8, 20];
const AVERAGED = 10;

export const mean = (numbers) => numbers.reduce((sum, x) => sum + x, 0) / numbers.length;

/** Draw rallies {at: seconds, hits, person} within `most` hits; `paint` names the colours. */
export function drawCurve(canvas, rallies, most, paint) {
  const scale = globalThis.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  canvas.width = width * scale;
  canvas.height = height * scale;
  const g = canvas.getContext("2d");
  g.scale(scale, scale);
  const seconds = Math.max(30, rallies.at(-1)?.at ?? 0);
  const x = (at) => LEFT + (at / seconds) * (width - LEFT - RIGHT);
  const y = (hits) => height - BOTTOM - (hits / most) * (height - TOP - BOTTOM);
  g.font = "11px system-ui, sans-serif";
  g.fillStyle = paint.dim;
  g.strokeStyle = paint.line;
  g.lineWidth = 1;
  for (let hits = 0; hits <= most; hits += 5) {
    g.beginPath();
    g.moveTo(LEFT, y(hits));
    g.lineTo(width - RIGHT, y(hits));
    g.stroke();
    g.textAlign = "right";
    g.fillText(String(hits), LEFT - 7, y(hits) + 4);
  }
  g.textAlign = "left";
  g.fillText("0 s", LEFT, height - 4);
  g.textAlign = "right";
  g.fillText(`${Math.round(seconds)} s`, width - RIGHT, height - 4);
  for (const { at, hits, person } of rallies) {
    g.globalAlpha = 0.6;
    g.fillStyle = person ? paint.person : paint.agent;
    g.beginPath();
    if (person) g.rect(x(at) - 2.5, y(hits) - 2.5, 5, 5);
    else g.arc(x(at), y(hits), 2.3, 0, 2 * Math.PI);
    g.fill();
  }
  g.globalAlpha = 1;
  g.strokeStyle = paint.mean;
  g.lineWidth = 2;
  g.lineJoin = "round";
  g.beginPath();
  rallies.forEach(({ at }, i) => {
    const last = rallies.slice(Math.max(0, i + 1 - AVERAGED), i + 1).map(({ hits }) => hits);
    g.lineTo(x(at), y(mean(last)));
  });
  g.stroke();
}
