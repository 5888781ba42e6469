"""A mail server for tests, by aiosmtpd. Arguments: plain|starttls|tls, certificate, key, port. Prints its port, then each mail as JSON."""

import asyncio
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult

security, certificate, key, port = sys.argv[1:5]


class Taker:
    async def handle_DATA(self, server, session, envelope):
        told = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "secured": session.ssl is not None or security == "tls",
            "user": session.authenticated,
            "mail": envelope.content.decode("utf-8"),
        }
        print(json.dumps(told), flush=True)
        return "250 taken"


def login(server, session, envelope, mechanism, data):
    right = mechanism in ("LOGIN", "PLAIN") and (data.login, data.password) == (b"backstay", b"the mail password")
    return AuthResult(success=right, handled=False)


async def serve():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    options = {"hostname": "localhost", "authenticator": login, "auth_require_tls": security == "starttls"}
    if security == "starttls":
        options.update(tls_context=context, require_starttls=True)
    loop = asyncio.get_running_loop()
    wrapped = context if security == "tls" else None
    server = await loop.create_server(lambda: SMTP(Taker(), **options), "localhost", int(port), ssl=wrapped)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(serve())
