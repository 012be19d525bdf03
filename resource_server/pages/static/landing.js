// Shows what /readyz says. The page itself asks nothing, so it is there even when all else is away.
"use strict";

const AGAIN_AFTER_MS = 3000;
const FETCHED_WITHIN_MS = 15000;
const ANSWER_WITHIN_MS = 10000;
const checks = document.getElementById("checks");

function show(part, state, text) {
  const row = checks.querySelector(`[data-part="${part}"]`);
  const told = row.querySelector("em");
  row.className = `check ${state}`;
  if (told.textContent !== text) {
    told.textContent = text; // only what is new is read out
  }
}

// A process downloads the keys when it is first asked for them, so at first nothing is wrong.
function withoutKeys() {
  return performance.now() < FETCHED_WITHIN_MS ? ["", "being fetched…"] : ["bad", "not there yet"];
}

async function ask() {
  try {
    const answer = await fetch(checks.dataset.readyz, { signal: AbortSignal.timeout(ANSWER_WITHIN_MS) });
    const missing = (await answer.json()).missing ?? [];
    show("keys", ...(missing.includes("keys") ? withoutKeys() : ["good", "ready"]));
    if (missing.includes("database") || missing.includes("writable_database")) {
      show("database", "bad", "unavailable");
    } else {
      show("database", ...(missing.includes("migrations") ? ["bad", "not migrated"] : ["good", "ready"]));
    }
    return missing.length === 0;
  } catch {
    show("keys", "bad", "no answer");
    show("database", "bad", "no answer");
    return false;
  }
}

async function watch() {
  if (!(await ask())) {
    setTimeout(watch, AGAIN_AFTER_MS);
  }
}

watch();
