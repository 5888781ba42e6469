// Paths in a file system of a point. Pure.
// Never knows: what is there.

/** The path of a name in a folder. */
export function below(folder: string, name: string): string {
  return folder.endsWith("/") ? `${folder}${name}` : `${folder}/${name}`;
}

/** The folders on the way to a path, from the top. */
export function steps(path: string): { name: string; path: string }[] {
  const found = [{ name: "/", path: "/" }];
  let so = "";
  for (const name of path.split("/").filter((word) => word !== "")) {
    so += `/${name}`;
    found.push({ name: `${name}/`, path: so });
  }
  return found;
}

/** The folder that a path is in. */
export function above(path: string): string {
  const cut = path.replace(/\/+$/, "").lastIndexOf("/");
  return cut <= 0 ? "/" : path.slice(0, cut);
}
