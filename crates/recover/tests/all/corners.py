# Asks an NBD server for what a well-behaved client would not, through libnbd with its own checks off.
# Arguments: URI of the good disk, URI of one that cannot read a byte, that byte, a file with their
# content.
import errno, sys
import nbd

good, bad, bad_byte, golden = sys.argv[1], sys.argv[2], int(sys.argv[3]), open(sys.argv[4], "rb").read()
size = len(golden)


def client(uri=good, structured=True, strict=0, contexts=("base:allocation",), opt=False, flags=None):
    h = nbd.NBD()
    h.set_strict_mode(strict)
    h.set_request_structured_replies(structured)
    for context in contexts:
        h.add_meta_context(context)
    if flags is not None:
        h.set_handshake_flags(flags)
    h.set_opt_mode(opt)
    h.connect_uri(uri)
    return h


def refused(want, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except nbd.Error as e:
        assert e.errno == errno.errorcode[want], (e.errno, errno.errorcode[want], e.string)
    else:
        raise AssertionError(f"{call} {args} was not refused")


def requests(h, structured):
    refused(errno.EINVAL, h.pread, 512, size - 511)
    refused(errno.EINVAL, h.pread, 512, 2**63)
    refused(errno.EINVAL, h.pread, 33 << 20, 0)
    refused(errno.EPERM, h.pwrite, b"x" * 512, 0)
    refused(errno.EPERM, h.pwrite, b"x" * (1 << 20), size)
    refused(errno.EPERM, h.zero, 512, 0)
    refused(errno.EPERM, h.trim, 512, 0)
    refused(errno.EINVAL, h.cache, 512, size)
    refused(errno.EINVAL, h.block_status, 512, size, lambda *a: 0)
    h.cache(size, 0)
    h.flush()
    # FUA is accepted on everything.
    assert h.pread(512, 0, flags=nbd.CMD_FLAG_FUA) == golden[:512]
    if not structured:
        refused(errno.EINVAL, h.pread, 512, 0, flags=nbd.CMD_FLAG_DF)
    # After all of that the connection still works.
    assert h.pread(size - 5, 5) == golden[5:]


def df_is_one_chunk(h):
    chunks = []
    h.pread_structured(4 << 20, 4096, lambda b, o, s, e: chunks.append((o, s)) or 0, flags=nbd.CMD_FLAG_DF)
    assert chunks == [(4096, nbd.READ_DATA)], chunks
    chunks.clear()
    h.pread_structured(4 << 20, 4096, lambda b, o, s, e: chunks.append((o, s)) or 0)
    assert {nbd.READ_DATA, nbd.READ_HOLE} == {s for _, s in chunks}, chunks


def one_extent(h):
    seen = []
    h.block_status(size, 0, lambda c, o, e, err: seen.append(e) or 0, nbd.CMD_FLAG_REQ_ONE)
    assert len(seen[0]) == 2, seen
    refused(errno.EINVAL, h.block_status, 0, 0, lambda *a: 0)


for structured in (True, False):
    requests(client(structured=structured), structured)
df_is_one_chunk(client())
one_extent(client())

# Not asked for: block status is refused, although replies are structured.
refused(errno.EINVAL, client(contexts=()).block_status, 512, 0, lambda *a: 0)

# A read that fails in the middle says where.
h, errors = client(bad), []
def note(buf, offset, status, error):
    if status == nbd.READ_ERROR:
        errors.append(offset)
    return 0
refused(errno.EIO, h.pread_structured, 4 << 20, 0, note)
assert len(errors) == 1 and errors[0] <= bad_byte < errors[0] + (1 << 20), errors
refused(errno.EIO, client(bad, structured=False).pread, 4 << 20, 0)
assert h.pread(512, 0) == golden[:512]

# Options in odd orders.
h = client(opt=True)
names = []
h.opt_list(lambda name, description: names.append(name) or 0)
assert names == ["disk a/1", "bad", "4kn"], names
h.set_export_name("there is none")
refused(errno.ENOENT, h.opt_info)
h.set_export_name("bad")
h.opt_info()
assert h.get_size() == size and h.is_read_only()
h.set_export_name("disk a/1")
h.opt_go()
assert h.can_meta_context("base:allocation")
assert h.pread(512, 0) == golden[:512]
h.shutdown()

h = client(opt=True)
seen = []
assert h.opt_list_meta_context(lambda name: seen.append(name) or 0) == 1 and seen == ["base:allocation"]
h.opt_abort()

# Old clients: without the fixed handshake, and without "no zeroes".
for flags in (0, nbd.HANDSHAKE_FLAG_FIXED_NEWSTYLE, nbd.HANDSHAKE_FLAG_NO_ZEROES):
    h = client(flags=flags, contexts=())
    assert h.get_size() == size and h.pread(4096, 8192) == golden[8192:12288]
    h.shutdown()

# Many requests at once, answered in any order.
h = client()
buffers = [nbd.Buffer(70_000) for _ in range(100)]
cookies = [h.aio_pread(b, i * 80_000) for i, b in enumerate(buffers)]
while h.aio_in_flight():
    h.poll(-1)
assert all(h.aio_command_completed(c) for c in cookies)
assert all(b.to_bytearray() == golden[i * 80_000 : i * 80_000 + 70_000] for i, b in enumerate(buffers))
print("all corners")
