// Who is told of alerts, settled in the console, and tried: a mail server that is there, and a webhook that is not.
// Never knows: what alerts there are.
import assert from "node:assert/strict";
import { MailServer } from "../mail.mjs";

/** What is no certificate is refused, in words that say where; a certificate is kept, and shown again. */
async function authorities(page, authority) {
  const keep = page.getByRole("button", { name: "Keep the settings" });
  const [mail, hook] = [page.getByLabel("Authorities of the mail server"), page.getByLabel("Authorities of webhook 1")];
  const open = page.getByText("an authority of your own");
  await open.first().click();
  await mail.fill("/etc/ssl/our-ca.pem");
  await keep.click();
  await page.getByRole("alert").getByText("authorities of the mail server (ca_pem) hold no certificate").waitFor();
  const certificate = String(authority);
  await mail.fill(certificate);
  await open.nth(1).click();
  await hook.fill(certificate.slice(0, 200));
  await keep.click();
  await page.getByRole("alert").getByText("authorities of the webhook https://127.0.0.1:9/hook (ca_pem)").waitFor();
  await hook.fill("");
  await keep.click();
}

export function alerts({ test, as, world, pictures }) {
  test("mail and a webhook are settled and tried, and it is said which of them was told", async () => {
    const mail = await MailServer.start();
    try {
      await as("admin", async (page) => {
        await page.getByRole("link", { name: "Settings" }).click();
        await page.getByRole("button", { name: "Tell people by mail" }).click();
        await page.getByLabel("To", { exact: true }).fill("ops@example.org, ada@example.org, ");
        await page.getByLabel("From").fill("backstay@example.org");
        await page.getByLabel("Mail server", { exact: true }).fill("127.0.0.1");
        await page.getByLabel("Port").fill(String(mail.port));
        await page.getByLabel("Encryption").selectOption("plain");
        await page.getByRole("button", { name: "Add a webhook" }).click();
        // Nobody listens there.
        await page.getByLabel("Address 1").fill("https://127.0.0.1:9/hook");
        await page.getByLabel("Secret 1").fill("sixteen bytes at least");
        await authorities(page, world().authority);
        await page.getByText("The settings are kept.").waitFor();
        assert.equal(await page.getByLabel("Secret 1").inputValue(), "", "it is never told");
        await page.getByText("One is kept. Empty: it stays.").waitFor();
        await page.getByRole("button", { name: "Send a test alert" }).click();
        const told = page.getByRole("list").filter({ hasText: "told" });
        await told.waitFor();
        const [first, second] = await told.getByRole("listitem").allInnerTexts();
        assert.equal(first, "Mail: told");
        assert.equal(second, "Webhook 127.0.0.1: not told: Connection refused");
        assert.equal(mail.mails.length, 1);
        assert.match(mail.mails[0], /ops@example\.org[^]*test/i);
        await page.screenshot({ path: `${pictures}test-alert.png`, fullPage: true });
        await page.getByRole("button", { name: "No mail" }).click();
        await page.getByRole("button", { name: "Take away webhook 1" }).click();
        await page.getByRole("button", { name: "Keep the settings" }).click();
        await page.getByText("The settings are kept.").waitFor();
      });
    } finally {
      mail.end();
    }
  });
}
