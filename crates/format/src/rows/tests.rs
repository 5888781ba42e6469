//! Known answers: the bytes of a point, written by hand from the format page.

use super::*;

fn point() -> PointRow {
    let disk = DiskAt {
        disk: DiskNo(2),
        name: "sda".into(),
        source: "/dev/sda".into(),
        size: 300,
        sector: 512,
        unreadable: 1,
        absent: 3,
        excluded: 200,
        stamp: vec![0xAB],
        exclusions: vec![Exclusion { rule: "*.iso".into(), bytes: 129 }],
    };
    PointRow {
        time: Timestamp(258),
        started: Timestamp(1),
        committed: Timestamp(-1),
        consistency: Consistency::Fuzzy,
        note: "n".into(),
        disks: vec![disk],
        read: 7,
        changed: 8,
        stored: 9,
        held: 300,
    }
}

fn golden() -> Vec<u8> {
    let head: &[&[u8]] = &[
        &[2],                                              // version
        &[2, 1, 0, 0, 0, 0, 0, 0],                         // time
        &[1, 0, 0, 0, 0, 0, 0, 0],                         // started
        &[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF], // committed
        &[1],                                              // fuzzy
        &[1, b'n'],                                        // note
        &[1],                                              // disks
    ];
    let disk: &[&[u8]] = &[
        &[2],          // number
        &[3],          // name
        b"sda",        //
        &[8],          // source
        b"/dev/sda",   //
        &[0xAC, 0x02], // size
        &[0x80, 0x04], // sector
        &[1],          // unreadable
        &[3],          // absent
        &[0xC8, 0x01], // excluded
        &[1, 0xAB],    // stamp
        &[1, 5],       // one exclusion: its rule
        b"*.iso",      //
        &[0x81, 0x01], // and bytes
    ];
    [head.concat(), disk.concat(), vec![7, 8, 9, 0xAC, 0x02]].concat()
}

#[test]
fn a_point_is_written_as_the_page_says() {
    assert_eq!(point().encode(), golden());
    assert_eq!(PointRow::decode(&golden()), Ok(point()));
}

/// Points of before freezes were told stay readable for ever.
#[test]
fn a_point_of_the_first_version_is_read() {
    let mut golden = golden();
    golden[0] = 1;
    golden.truncate(golden.len() - 2);
    assert_eq!(PointRow::decode(&golden), Ok(PointRow { held: 0, ..point() }));
    assert!(PointRow::decode(&[&golden[..], &[0]].concat()).is_err(), "it has no more");
    golden[0] = 3;
    assert_eq!(PointRow::decode(&golden), Err(DecodeError::Version { what: "point", found: 3, newest: 2 }));
}

#[test]
fn a_point_that_is_cut_short_or_too_long_is_refused() {
    let golden = golden();
    for len in 0..golden.len() {
        assert!(PointRow::decode(&golden[..len]).is_err(), "{len} bytes");
    }
    assert!(PointRow::decode(&[&golden[..], &[0]].concat()).is_err());
}

#[test]
fn a_draft_is_written_as_the_page_says() {
    let draft = DraftRow { machine: "web".into(), point: PointNo(258) };
    let golden = [1, 3, b'w', b'e', b'b', 0x82, 0x02];
    assert_eq!(draft.encode(), golden);
    assert_eq!(DraftRow::decode(&golden), Ok(draft));
    (0..golden.len()).for_each(|len| assert!(DraftRow::decode(&golden[..len]).is_err(), "{len} bytes"));
    assert!(DraftRow::decode(&[1, 1, b'/', 1]).is_err(), "not a machine's name");
}
