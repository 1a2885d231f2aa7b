// The words of the page in both languages: the table `words.json`, which language is shown, and
// filling the page with it.

const STORED = "saccade-language";
const table = await (await fetch(new URL("words.json", import.meta.url))).json();

function preferred() {
  const first = (navigator.languages ?? [navigator.language]).find((one) => /^(en|zh)\b/i.test(one));
  return first?.slice(0, 2).toLowerCase() ?? "en";
}

let language = sessionStorage.getItem(STORED) ?? preferred();
if (!(language in table)) language = "en";

/** The language that is shown: "en" or "zh". */
export const current = () => language;

/** The other one, which the switch offers. */
export const other = () => (language === "en" ? "zh" : "en");

/** The name of a language in itself. */
export const nameOf = (one) => table[one].language;

/** The text of a key; `{name}` in it is taken from `values`. */
export function text(key, values = {}) {
  return table[language][key].replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

/**
 * A share, 0..1, in per cent: whole ones, with one place near both ends; what is not quite nothing
 * or everything is not rounded to it.
 */
export function percent(share) {
  const digits = share > 0 && share < 1 && (share < 0.0995 || share > 0.9905) ? 1 : 0;
  const format = { style: "percent", minimumFractionDigits: digits, maximumFractionDigits: digits };
  const write = (one) => new Intl.NumberFormat(language, format).format(one);
  if (digits && share < 0.0005) return `<${write(0.001)}`;
  if (digits && share > 0.9995) return `>${write(0.999)}`;
  return write(share);
}

/** Show another language from now on. */
export function choose(one) {
  language = one;
  sessionStorage.setItem(STORED, one);
}

/** Write the texts into all elements of the page that name a key. */
export function fillPage() {
  document.documentElement.lang = language === "zh" ? "zh-Hans" : "en";
  document.title = `saccade · ${text("title")}`;
  for (const one of document.querySelectorAll("[data-text]")) {
    one.textContent = text(one.dataset.text);
  }
  for (const one of document.querySelectorAll("[data-label]")) {
    one.setAttribute("aria-label", text(one.dataset.label));
  }
  for (const one of document.querySelectorAll("[data-placeholder]")) {
    one.placeholder = text(one.dataset.placeholder);
  }
}
