// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
//
// Marks the pages of tracked disks that may have changed. State, not events: a bit cannot overflow.
//
// What makes the marks right is the mark at completion: it lands after the device has the write and before whoever
// wrote is told. The mark at issue is a belt; alone it would lose writes (docs/capture.md).
//
// Never knows: who reads the marks, or when.

#include "kernel.h"
#include "layout.h"

// What is built: the programs, or for tests and measurements some that are wrong or slow on purpose.
#define REAL 0
#define ISSUE_ONLY 1 // marks when a write is sent and not when it is done: loses writes
#define BYTES 2      // a byte for 64 KiB by a plain store, instead of a bit a page by an atomic one
#define IDLE 3       // is called, and does nothing

char LICENSE[] SEC("license") = "Dual BSD/GPL";

// What this was compiled from; `cargo xtask tidy` compares.
const char SOURCES[] SEC("sources") = "sources:" SOURCES_HASH;

// The marks of one disk: one value is the header, then the summary, then the bits. See layout.h.
struct marks {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE | BPF_F_INNER_MAP);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(u32));
	__uint(value_size, VALUE_BYTES);
};

// Whole disk's number (major << 20 | minor) -> its marks. What is not in here is not tracked.
struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	__uint(max_entries, MOST_DISKS);
	__type(key, u32);
	__array(values, struct marks);
} disks SEC(".maps");

static __always_inline void *value(void *marks, u32 index)
{
	return bpf_map_lookup_elem(marks, &index);
}

static __always_inline void *marks_of(struct gendisk *disk)
{
	u32 number = (u32)disk->major << 20 | (u32)disk->first_minor;

	return bpf_map_lookup_elem(&disks, &number);
}

static __always_inline void fault(struct header *header, int which)
{
	__sync_fetch_and_add(&header->faults[which], 1);
}

static __always_inline void hit(struct header *header, int who)
{
	u32 slot = bpf_get_smp_processor_id() & (HIT_SLOTS - 1);

	__sync_fetch_and_add(&header->hits[slot].count[who], 1);
}

// Sets bits of one word, then says in the summary that its value has some. In this order, with the full barrier of the
// atomic between (it is one because its result is used): who clears the summary and then takes the words either finds the
// bits, or the summary is set again.
//
// If all the bits were set, that is enough. Who takes them does so after this, so after the device has the write. And who
// set them sees to the summary; until then a write of theirs to the same page is under way.
static __always_inline bool mark_word(void *marks, u32 first_value, u64 word, u64 bits)
{
	u32 index = word / VALUE_WORDS;
	u64 *words = value(marks, first_value + index);
	u8 *summary;

	if (!words)
		return false;
	if (VARIANT == BYTES) {
		((volatile u8 *)words)[word / 4 % VALUE_BYTES] = 1;
		return true;
	}
	if ((__sync_fetch_and_or(&words[word % VALUE_WORDS], bits) & bits) == bits)
		return true;
	summary = value(marks, 1 + index / VALUE_BYTES);
	if (!summary)
		return false;
	summary += index % VALUE_BYTES;
	if (!*(volatile u8 *)summary)
		*(volatile u8 *)summary = 1;
	return true;
}

struct range {
	void *marks;
	u64 first_page, last_page, first_word;
	u32 first_value;
	bool outside;
};

static long mark_nth_word(u64 n, void *context)
{
	struct range *range = context;
	u64 word = range->first_word + n, bits = ~0ULL;

	if (word == range->first_page / 64)
		bits &= ~0ULL << range->first_page % 64;
	if (word == range->last_page / 64)
		bits &= ~0ULL >> (63 - range->last_page % 64);
	if (mark_word(range->marks, range->first_value, word, bits))
		return 0;
	range->outside = true;
	return 1;
}

// Not inlined: the verifier then looks at it once.
static __noinline int mark_words(struct range *range)
{
	u64 count = range->last_page / 64 - range->first_word + 1;

	if (count > 1ULL << 23 || bpf_loop(count, mark_nth_word, range, 0) < 0)
		return -1;
	return 0;
}

static __always_inline void mark(void *marks, struct header *header, u64 sector, u32 bytes)
{
	u64 first = sector / PAGE_SECTORS;
	u64 last = (sector * SECTOR_BYTES + bytes - 1) / PAGE_BYTES;

	if (!bytes)
		return;
	if (first / 64 == last / 64) {
		u64 bits = ~0ULL << first % 64 & ~0ULL >> (63 - last % 64);

		if (!mark_word(marks, header->first_value, first / 64, bits))
			fault(header, FAULT_OUTSIDE);
		return;
	}
	struct range range = {
		.marks = marks,
		.first_page = first,
		.last_page = last,
		.first_word = first / 64,
		.first_value = header->first_value,
	};
	if (mark_words(&range))
		fault(header, FAULT_OVERFLOW);
	if (range.outside)
		fault(header, FAULT_OUTSIDE);
}

// Operations as the kernel numbers them. All that change data are odd.
#define OP_MASK 0xff
#define OP_WRITE 1
#define OP_DISCARD 3
#define OP_SECURE_ERASE 5
#define OP_WRITE_ZEROES 9
#define OP_DRV_OUT 35
#define LONGEST_CHAIN 256

struct chain {
	void *marks;
	struct header *header;
	struct bio *bio;
};

static long mark_nth_bio(u64 n, void *context)
{
	struct chain *chain = context;
	struct bio *bio = chain->bio;
	u64 sector = 0;
	u32 bytes = 0;

	if (!bio)
		return 1;
	bpf_probe_read_kernel(&sector, sizeof(sector), &bio->bi_iter.bi_sector);
	bpf_probe_read_kernel(&bytes, sizeof(bytes), &bio->bi_iter.bi_size);
	mark(chain->marks, chain->header, sector, bytes);
	bpf_probe_read_kernel(&chain->bio, sizeof(chain->bio), &bio->bi_next);
	return 0;
}

// One discard may carry several ranges, one a bio, that do not lie together.
static __noinline int mark_chain(struct chain *chain)
{
	return bpf_loop(LONGEST_CHAIN, mark_nth_bio, chain, 0) < 0 || chain->bio ? -1 : 0;
}

static __always_inline struct gendisk *disk_of(struct request *rq)
{
	if (field_exists(rq->q->disk))
		return rq->q->disk;
	return ((struct request___before_5_17 *)rq)->rq_disk;
}

static __always_inline int on_request(struct request *rq, u32 bytes, int who)
{
	u32 op = rq->cmd_flags & OP_MASK;
	struct gendisk *disk;
	struct header *header;
	void *marks;

	if (VARIANT == IDLE || !(op & 1))
		return 0;
	disk = disk_of(rq);
	if (!disk)
		return 0;
	marks = marks_of(disk);
	if (!marks)
		return 0;
	header = value(marks, 0);
	if (!header)
		return 0;
	if (who != HIT_NOT_COUNTED)
		hit(header, who);
	if (op == OP_DRV_OUT) {
		fault(header, FAULT_DRV_OUT);
		return 0;
	}
	if (op != OP_WRITE && op != OP_DISCARD && op != OP_WRITE_ZEROES && op != OP_SECURE_ERASE)
		fault(header, FAULT_UNKNOWN);
	if (VARIANT == ISSUE_ONLY && who != HIT_ISSUE)
		return 0;
	if (op == OP_DISCARD && rq->bio && rq->bio->bi_next) {
		struct chain chain = { .marks = marks, .header = header, .bio = rq->bio };

		if (mark_chain(&chain))
			fault(header, FAULT_OVERFLOW);
		return 0;
	}
	mark(marks, header, rq->__sector, bytes);
	return 0;
}

// A program that is active on a processor is skipped there when an interrupt brings the same event again. A task, a
// soft and a hard interrupt each hold at most one copy, so that of three one always runs. Two of them find the bits set.
SEC("tp_btf/block_rq_complete") int complete_a(u64 *ctx)
{
	return on_request((struct request *)ctx[0], ctx[2], HIT_COMPLETE);
}

SEC("tp_btf/block_rq_complete") int complete_b(u64 *ctx)
{
	return on_request((struct request *)ctx[0], ctx[2], HIT_NOT_COUNTED);
}

SEC("tp_btf/block_rq_complete") int complete_c(u64 *ctx)
{
	return on_request((struct request *)ctx[0], ctx[2], HIT_NOT_COUNTED);
}

SEC("tp_btf/block_rq_issue") int issue(u64 *ctx)
{
	struct request *rq = (struct request *)ctx[0];

	return on_request(rq, rq->__data_len, HIT_ISSUE);
}
