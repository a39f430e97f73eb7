// Asks the service what a user would ask first: "helm test" runs it in a pod. It gives up after a minute.
const GIVE_UP_MS = 60_000;
const PAUSE_MS = 2000;
const base = process.env.ENTROFLEET_URL;

async function ask(path) {
  const answer = await fetch(base + path, { signal: AbortSignal.timeout(10_000) });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${text}`);
  return JSON.parse(text);
}

async function look() {
  const { checks } = await ask('/readyz');
  const { items } = await ask('/api/v1/models');
  const parts = checks.map(({ name }) => name).join(', ');
  return `${base} is ready (${parts}) and has ${items.length} models`;
}

const end = Date.now() + GIVE_UP_MS;
for (;;) {
  try {
    console.log(await look());
    break;
  } catch (error) {
    const reason = error.cause?.message ?? error.message;
    console.error(`not yet: ${reason}`);
    if (Date.now() > end) process.exit(1);
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
}
