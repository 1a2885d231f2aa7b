// Making elements. Texts are always text nodes: nothing that a server or a model writes is markup.

/** An element with properties (`dataset`, `style` and attributes with a hyphen too) and children. */
export function make(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "style" || name === "dataset") Object.assign(made[name], value);
    else if (name.includes("-") || name === "role") made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children.flat().filter((one) => one !== null && one !== undefined));
  return made;
}

/** An element of the page by its id. */
export const byId = (id) => document.getElementById(id);
