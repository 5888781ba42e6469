# A client of a server that stops: one read is being answered, the next one comes too late.
import errno, sys
import nbd

h = nbd.NBD()
h.connect_uri(sys.argv[1])
first = nbd.Buffer(4096)
cookie = h.aio_pread(first, 0)
while h.aio_in_flight() and h.aio_get_direction() & 2:
    h.poll(-1)
sys.stdin.read()  # until the server is stopping
try:
    h.pread(512, 0)
    print("was answered")
except nbd.Error as e:
    print("refused:", e.errno, flush=True)
while not h.aio_command_completed(cookie):
    h.poll(-1)
assert first.to_bytearray() == b"g" * 4096
print("the first read is whole")
