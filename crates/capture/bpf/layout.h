// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
//
// How the marks of a disk lie in their map. The other side of it is src/marks/layout.rs; a test compares the two.
//
//   value 0             the header
//   values 1 ..         the summary: one byte a value of bits, 0 if none of them is set
//   first_value ..      the bits: one a page of the disk, in little-endian words of 64
//
// Never knows: how the bits get there.

#pragma once

#define VALUE_BYTES 4096
#define VALUE_WORDS (VALUE_BYTES / 8)
#define PAGE_BYTES 4096
#define SECTOR_BYTES 512
#define PAGE_SECTORS (PAGE_BYTES / SECTOR_BYTES)
#define MOST_DISKS 256

// Why the marks may lack something. Each counts events.
#define FAULT_OVERFLOW 0 // a range too long to mark
#define FAULT_OUTSIDE 1  // beyond the end the disk had
#define FAULT_DRV_OUT 2  // a command past the block layer, whose range nobody knows
#define FAULT_UNKNOWN 3  // an operation that changes data and did not exist when this was written

// Who came by. Counts of writes, in slots by processor so that processors do not wait for each other.
#define HIT_COMPLETE 0 // the first of three copies
#define HIT_ISSUE 1
#define HIT_NOT_COUNTED -1
#define HIT_SLOTS 32 // a power of two: the verifier understands masks

struct hits {
	u64 count[8];
};

struct header {
	u64 magic;
	u32 version;
	u32 first_value;
	u8 kept[1968]; // the process's; the programs do not look
	u64 faults[8];
	struct hits hits[HIT_SLOTS];
};

_Static_assert(sizeof(struct header) == VALUE_BYTES, "the header is one value");
