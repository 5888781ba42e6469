// Cancelling is offered to whom the server says that they may, and to nobody else; what it answers is told.
// Never knows: how long a restore takes. One that has ended is shown as if it ran: a real one is over before anybody could click.
import assert from "node:assert/strict";

/** The newest restore, as if it were at work. */
async function atWork(page, client, mayCancel) {
  const jobs = await client.get("jobs");
  const restore = jobs.find((job) => job.work.kind === "restore");
  Object.assign(restore, { state: "running", may_cancel: mayCancel, ended: null, result: null, done: 1, total: 4 });
  await page.route("**/api/v1/jobs", (route) => route.fulfill({ json: jobs }));
}

export function cancel({ test, as, world, pictures }) {
  for (const width of [1280, 390]) {
    test(`a restore is cancelled by who may, ${width} wide`, async () => {
      await as(
        "paul",
        async (page, visitor) => {
          await atWork(page, await world().somebody("paul"), true);
          await page.goto("/jobs");
          await page.getByRole("button", { name: /^Cancel job/ }).click();
          await page.getByText("The file that it writes is removed.").waitFor();
          assert.ok(await page.getByRole("button", { name: "Let it go on" }).isVisible());
          assert.deepEqual(await visitor.axe(), []);
          await page.screenshot({ path: `${pictures}cancel-${width}.png` });
          await page.getByRole("button", { name: "Cancel the job" }).click();
          await page.getByRole("alert").getByText("no such job at work", { exact: false }).waitFor();
        },
        { width, height: 800 },
      );
    });
  }

  test("who may not cancel a restore is not offered it", async () => {
    await as("paul", async (page) => {
      await atWork(page, await world().somebody("paul"), false);
      await page.goto("/jobs");
      await page.getByRole("progressbar").waitFor();
      assert.equal(await page.getByRole("button", { name: /^Cancel job/ }).count(), 0);
    });
  });
}
