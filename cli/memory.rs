//! The allocator of the process, and the one place of unsafe code in this package.
//!
//! A training step frees and asks for the same large blocks again and again. mimalloc hands freed pages
//! back to the system after some milliseconds, and each comes back as a page fault; kept, a step is a
//! tenth faster.

#![allow(unsafe_code)]

use libmimalloc_sys::{mi_option_set, mi_option_t};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay` of `mi_option_e` in mimalloc.h, the same in mimalloc 2 and 3; the bindings
/// leave it out.
const PURGE_DELAY: mi_option_t = 15;

/// Keeps freed pages for as long as the process lives.
pub fn keep_freed_pages() {
    // SAFETY: mi_option_set writes one entry of a table inside mimalloc, the index is in its range, and
    // no other thread runs yet.
    unsafe { mi_option_set(PURGE_DELAY, -1) }
}
