// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
//
// The little of the kernel that the programs look at. Field offsets are found by the loader in the BTF of the kernel
// that runs (preserve_access_index); only names matter here, so no header of any kernel is needed.
//
// Never knows: what is done with it.

#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef _Bool bool;

#define NULL ((void *)0)
#define true 1
#define false 0

#define SEC(name) __attribute__((section(name), used))
#define __always_inline inline __attribute__((always_inline))
#define __noinline __attribute__((noinline))

// How maps are declared: types carry the numbers.
#define __uint(name, number) int(*name)[number]
#define __type(name, value) typeof(value) *name
#define __array(name, value) typeof(value) *name[]

#define BPF_MAP_TYPE_ARRAY 2
#define BPF_MAP_TYPE_HASH_OF_MAPS 13
#define BPF_F_MMAPABLE (1 << 10)
#define BPF_F_INNER_MAP (1 << 12)

// Helpers, by their numbers in the kernel's interface.
static void *(*const bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static u32 (*const bpf_get_smp_processor_id)(void) = (void *)8;
static long (*const bpf_probe_read_kernel)(void *to, u32 size, const void *from) = (void *)113;
static long (*const bpf_loop)(u32 count, void *body, void *context, u64 flags) = (void *)181;

// Which of the questions to the loader is asked: does this kernel's struct have the field?
#define field_exists(field) __builtin_preserve_field_info(field, 2)

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct gendisk {
	int major;
	int first_minor;
};

struct bvec_iter {
	u64 bi_sector;
	u32 bi_size;
};

struct bio {
	struct bio *bi_next;
	struct bvec_iter bi_iter;
};

struct request_queue {
	struct gendisk *disk;
};

struct request {
	struct request_queue *q;
	u32 cmd_flags;
	u32 __data_len;
	u64 __sector;
	struct bio *bio;
};

// Before 5.17 the disk hung on the request. What follows the three underscores is not part of the name.
struct request___before_5_17 {
	struct gendisk *rq_disk;
};

#pragma clang attribute pop
