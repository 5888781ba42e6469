// Who is at the server of the tests, and how they come to its console.
import { PASSWORD } from "./world.mjs";
import { Visitor } from "./browser.mjs";

export const PEOPLE = {
  olga: [{ role: "operator", scope: "all" }],
  rita: [{ role: "restore-operator", scope: "all" }],
  paul: [{ role: "restore-operator", scope: "machine:files" }],
  audrey: [{ role: "auditor", scope: "all" }],
};

/** Types name and password into the door. */
export async function logIn(page, name, password = PASSWORD) {
  await page.getByRole("heading", { name: "Log in" }).waitFor();
  await page.getByLabel("Name").fill(name);
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Log in", exact: true }).click();
}

/** A browser in which somebody is logged in. */
export async function visitorAs(browser, world, name, looks = {}) {
  const visitor = await Visitor.come(browser, world.url, looks);
  await visitor.page.goto("/");
  await logIn(visitor.page, name);
  // On a narrow screen the menu is folded.
  await visitor.page.locator("nav[aria-label=Pages]").waitFor({ state: "attached" });
  return visitor;
}
