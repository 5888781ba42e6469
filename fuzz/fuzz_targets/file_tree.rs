//! Hostile bytes as a file system: opened, and walked a little.
#![no_main]

use std::sync::Arc;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(tree) = backstay_items::detect::open(Arc::new(bytes.to_vec())) else { return };
    let mut buf = [0; 512];
    let mut nodes = vec![tree.root()];
    for _ in 0..64 {
        let Some(node) = nodes.pop() else { break };
        let _known = tree.metadata(node);
        let _read = tree.read(node, 0, &mut buf);
        let _own = tree.own_content(node);
        let _target = tree.link_target(node);
        nodes.extend(tree.entries(node).unwrap_or_default().into_iter().take(16).map(|e| e.node));
    }
});
