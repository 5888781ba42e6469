// Single sign-on, settled in the console, with a word on what that does; and who is known there as whom.
// Never knows: an issuer.
import assert from "node:assert/strict";

export function signOn({ test, as, pictures }) {
  test("single sign-on is settled, and it is said who would be let in", async () => {
    await as("admin", async (page) => {
      await page.getByRole("link", { name: "Settings" }).click();
      await page.getByRole("button", { name: "Let people log in elsewhere" }).click();
      await page.getByText("Nobody else is let in: no group gives a role.").waitFor();
      await page.getByText("/api/v1/login/oidc/callback").waitFor();
      await page.getByLabel("Issuer").fill("http://login.example.org");
      await page.getByLabel("On the button").fill("Example Inc.");
      await page.getByLabel("Client", { exact: true }).fill("backstay");
      await page.getByLabel("Secret of the client").fill("s3cret");
      await page.getByRole("button", { name: "Add a group" }).click();
      await page.getByLabel("Name of group 1").fill("backup-ops");
      await page.getByText("Who is in the group backup-ops comes in as operator of everything.").waitFor();
      await page.getByRole("button", { name: "Add a role of group 1" }).click();
      await page.getByLabel("Role 2 of group 1").selectOption("auditor");
      await page.getByText("nobody of the group backup-ops would be let in").waitFor();
      await page.getByRole("button", { name: "Take away role 2 of group 1" }).click();
      await page.getByRole("button", { name: "Keep the settings" }).click();
      await page.getByRole("alert").getByText("https://").waitFor();
      await page.getByLabel("Issuer").fill("https://login.example.org");
      await page.screenshot({ path: `${pictures}sign-on.png`, fullPage: true });
      await page.getByRole("button", { name: "Keep the settings" }).click();
      await page.getByText("The settings are kept.").waitFor();
      await page.getByText("One is kept for this issuer and client.").waitFor();
      await page.reload();
      assert.equal(await page.getByLabel("Name of group 1").inputValue(), "backup-ops");
      assert.equal(await page.getByLabel("Secret of the client").inputValue(), "", "it is never told");
      const ways = await page.evaluate(async () => (await fetch("/api/v1/login/ways")).json());
      assert.equal(ways.oidc, "Example Inc.");
    });
  });

  test("a person is known by what the issuer calls them", async () => {
    await as("admin", async (page) => {
      await page.getByRole("link", { name: "People" }).click();
      await page.getByRole("button", { name: "Single sign-on of paul" }).click();
      assert.equal(await page.getByLabel("Issuer", { exact: true }).inputValue(), "https://login.example.org");
      await page.getByLabel("Subject").fill("248289761001");
      await page.getByRole("button", { name: "Make known" }).click();
      await page.getByRole("cell", { name: "248289761001" }).waitFor();
      await page.getByRole("button", { name: "Single sign-on of olga" }).click();
      await page.getByLabel("Subject").fill("248289761001");
      await page.getByRole("button", { name: "Make known" }).click();
      await page.getByRole("alert").getByText("Somebody else is known by that.").waitFor();
      await page.getByRole("button", { name: "Cancel" }).click();
      await page.getByRole("button", { name: "Single sign-on of paul" }).click();
      await page.getByRole("button", { name: "Known by nothing" }).click();
      await page.getByRole("cell", { name: "248289761001" }).waitFor({ state: "detached" });
    });
  });

  test("single sign-on ends, and it is said what becomes of whom", async () => {
    await as("admin", async (page) => {
      await page.getByRole("link", { name: "Settings" }).click();
      await page.getByRole("button", { name: "No single sign-on" }).click();
      await page.getByText("Nobody can log in by single sign-on any more.").waitFor();
      await page.getByRole("button", { name: "Keep the settings" }).click();
      await page.getByText("The settings are kept.").waitFor();
      await page.getByText("Nobody can log in by single sign-on any more.").waitFor({ state: "detached" });
    });
  });
}
