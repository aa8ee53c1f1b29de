//! What may be opened of a replica, and what a crash or a link leaves of it.

use super::*;
use sha2::{Digest as _, Sha256};
use std::time::{Duration, SystemTime};

fn digest(bytes: &[u8]) -> Digest {
    Digest::new(Sha256::digest(bytes).into())
}

fn put(replica: &Replica, bytes: &[u8]) -> Digest {
    let (digest, beside) = (digest(bytes), replica.folder().join("beside"));
    std::fs::write(&beside, bytes).unwrap();
    replica.adopt(&beside, &digest, bytes.len() as u64).unwrap();
    digest
}

fn age(path: &Path) {
    let old = SystemTime::now() - Duration::from_secs(3600);
    File::options().append(true).open(path).unwrap().set_modified(old).unwrap();
}

#[test]
fn only_a_regular_file_of_the_right_length_inside_the_replica_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let replica = Replica::open(&folder.path().join("replica")).unwrap();
    let good = put(&replica, b"four");
    assert!(replica.open_file(&good, 4).is_ok());
    assert!(replica.open_file(&good, 5).is_err());
    assert!(replica.open_file(&digest(b"absent"), 6).is_err());
    let outside = folder.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    let check_refused = |make: &dyn Fn(&Path)| {
        let digest = digest(b"in the way");
        let path = replica.path(&digest);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        make(&path);
        assert!(replica.open_file(&digest, 4).is_err());
        assert!(!replica.look().unwrap().contains_key(&digest));
        let _ = std::fs::remove_file(&path).or_else(|_| std::fs::remove_dir(&path));
    };
    std::fs::write(outside.join("out"), b"four").unwrap();
    check_refused(&|path| std::os::unix::fs::symlink(outside.join("out"), path).unwrap());
    check_refused(&|path| std::fs::create_dir(path).unwrap());
    check_refused(&|path| nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap());
    // A folder that leads out.
    let linked = digest(b"behind a link");
    let name = linked.to_string();
    std::fs::write(outside.join(&name), b"four").unwrap();
    std::os::unix::fs::symlink(&outside, replica.folder().join(&name[..2])).unwrap();
    assert!(replica.open_file(&linked, 4).is_err());
    assert!(!replica.look().unwrap().contains_key(&linked));
}

#[test]
fn what_is_held_is_what_stands_there() {
    let folder = tempfile::tempdir().unwrap();
    let replica = Replica::open(folder.path()).unwrap();
    let changes = replica.changes();
    let [one, two] = [put(&replica, b"one"), put(&replica, b"two")];
    assert!(changes.has_changed().unwrap());
    let holds = |replica: &Replica, digest: Digest| *replica.servable() == [digest].into_iter().collect();
    replica.evict(&two).unwrap();
    replica.evict(&two).unwrap();
    assert!(holds(&replica, one));
    std::fs::remove_file(replica.path(&one)).unwrap();
    assert!(replica.look().unwrap().is_empty() && *replica.servable() == Servable::default());
    let two = put(&replica, b"two");
    std::fs::write(replica.path(&two).with_file_name("notes.txt"), "none of ours").unwrap();
    let again = Replica::open(folder.path()).unwrap();
    assert!(holds(&again, two));
    assert!(!again.look().unwrap()[&two].settled);
    age(&again.path(&two));
    assert!(again.look().unwrap()[&two].settled);
}

#[test]
fn a_part_is_gone_on_with_and_what_is_too_long_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let replica = Replica::open(folder.path()).unwrap();
    let whole = digest(b"whole");
    let mut part = Part::resume(&replica, &whole, 5).unwrap();
    part.append(b"who").unwrap();
    drop(part);
    assert!(replica.look().unwrap().is_empty(), "half a file is none");
    let mut part = Part::resume(&replica, &whole, 5).unwrap();
    assert_eq!((part.length_bytes, part.digest()), (3, digest(b"who")));
    part.append(b"le").unwrap();
    assert_eq!(part.digest(), whole);
    let reader = replica.open_arriving(&whole, 5).unwrap();
    part.publish(&replica, &whole).unwrap();
    assert_eq!(reader.metadata().unwrap().len(), 5);
    assert!(replica.open_arriving(&whole, 5).is_ok() && replica.open_file(&whole, 5).is_ok());
    let mut long = Part::resume(&replica, &digest(b"x"), 1).unwrap();
    long.append(b"xyz").unwrap();
    assert_eq!(Part::resume(&replica, &digest(b"x"), 1).unwrap().length_bytes, 0);
}

#[test]
fn litter_is_swept_and_what_will_be_gone_on_with_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let replica = Replica::open(folder.path()).unwrap();
    let [kept, gone] = [digest(b"kept"), digest(b"gone")];
    for digest in [kept, gone] {
        Part::resume(&replica, &digest, 9).unwrap().append(b"half").unwrap();
    }
    let adopting = folder.path().join(INCOMING).join(format!("{gone}.{}", uuid::Uuid::new_v4()));
    std::fs::write(&adopting, "in this moment").unwrap();
    assert_eq!(replica.sweep(&BTreeSet::from([kept])).unwrap(), 4 + 14);
    let names = || std::fs::read_dir(folder.path().join(INCOMING)).unwrap().count();
    assert_eq!(names(), 2);
    age(&adopting);
    replica.sweep(&BTreeSet::from([kept])).unwrap();
    assert_eq!(names(), 1);
    std::fs::write(&adopting, "before a crash").unwrap();
    Replica::open(folder.path()).unwrap();
    assert_eq!(names(), 1);
}
