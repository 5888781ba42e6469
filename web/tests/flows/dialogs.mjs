// Every dialog and the opened menu: nothing that axe calls serious, nothing beyond the edge, closed by Escape with the focus where it
// was.
// Never knows: what dialogs do.
import assert from "node:assert/strict";

/** Who, where, and the button that opens it. */
const DIALOGS = [
  ["admin", "/people", "Add a person"],
  ["admin", "/people", "Roles of olga"],
  ["admin", "/people", "Reset password of olga"],
  ["admin", "/people", "Shut out olga"],
  ["admin", "/people", "Remove olga"],
  ["admin", "/jobs", "Set a time"],
  ["admin", "/jobs", "Change forget"],
  ["admin", "/machines/files", "Promise points"],
  ["olga", "/machines/files", "Suspend"],
  ["olga", "/machines/files", "Take the certificate back"],
  ["olga", "/enrolments", "Take back the code of spare"],
  ["olga", "/account", "End token spare"],
];

export function dialogs({ test, as, world, pictures }) {
  test("dialogs have something to be about", async () => {
    const operator = await world().somebody("olga");
    await operator.post("enrolments", { machine: "spare", seconds: 3600 });
    await operator.post("me/tokens", { name: "spare", role: "operator", scope: "all", days: 1 });
  });

  for (const colorScheme of ["light", "dark"]) {
    for (const [word, width] of [
      ["wide", 1280],
      ["narrow", 390],
    ]) {
      const looks = { colorScheme, width, height: 800 };
      test(`every dialog, ${colorScheme} and ${word}`, async () => {
        for (const who of ["admin", "olga"]) {
          await as(who, (page, visitor) => each(page, visitor, DIALOGS.filter((one) => one[0] === who), `${colorScheme}-${word}`), looks);
        }
      });
    }
    test(`the opened menu on a small screen, ${colorScheme}`, async () => {
      await as(
        "admin",
        async (page, visitor) => {
          await page.getByRole("button", { name: "Menu" }).click();
          await page.getByRole("link", { name: "Settings" }).waitFor();
          assert.deepEqual(await visitor.axe(), []);
          assert.equal(await visitor.overflows(), false);
          await page.screenshot({ path: `${pictures}menu-${colorScheme}.png` });
        },
        { colorScheme, width: 390, height: 800 },
      );
    });
  }

  async function each(page, visitor, some, looks) {
    for (const [, path, name] of some) {
      await page.goto(path);
      const opener = page.getByRole("button", { name, exact: true });
      await opener.waitFor();
      await opener.focus();
      await page.keyboard.press("Enter");
      const dialog = page.getByRole("dialog");
      await dialog.waitFor();
      const picture = `dialog-${name.replaceAll(" ", "-")}-${looks}`;
      await page.screenshot({ path: `${pictures}${picture}.png` });
      assert.deepEqual(await visitor.axe(), [], picture);
      const wider = await dialog.evaluate((shown) => shown.scrollWidth > shown.clientWidth);
      assert.equal(wider || (await visitor.overflows()), false, picture);
      await page.keyboard.press("Escape");
      await dialog.waitFor({ state: "detached" });
      assert.ok(await opener.evaluate((button) => button === document.activeElement), `the focus is lost after ${picture}`);
    }
  }
}
