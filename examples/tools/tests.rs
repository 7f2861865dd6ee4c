//! The programs as somebody calls them: what they print, and how they end.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use image::{ImageFormat, Rgb, RgbImage};
use std::fs::{self, File};
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const SEARCH: &str = env!("CARGO_BIN_EXE_search");
const CSVMAP: &str = env!("CARGO_BIN_EXE_csvmap");
const INFER: &str = env!("CARGO_BIN_EXE_infer");
const THUMBS: &str = env!("CARGO_BIN_EXE_thumbs");

/// A folder that goes away with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Folder {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        self.path(name)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    /// Runs a program in here.
    fn run(&self, program: &str, arguments: &[&str], input: &str) -> Ended {
        let stdin = self.0.join(".input");
        fs::write(&stdin, input).unwrap();
        let stdin = File::open(&stdin).and_then(|file| fs::remove_file(&stdin).map(|()| file)).unwrap();
        Ended(Command::new(program).args(arguments).current_dir(&self.0).stdin(stdin).output().unwrap())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

struct Ended(Output);

impl Ended {
    fn complaints(&self) -> String {
        String::from_utf8_lossy(&self.0.stderr).into_owned()
    }

    #[track_caller]
    fn with(self, code: i32, complaints: usize) -> String {
        let complained = self.complaints();
        assert_eq!(self.0.status.code(), Some(code), "{complained}");
        assert_eq!(complained.lines().count(), complaints, "{complained}");
        String::from_utf8(self.0.stdout).unwrap()
    }
}

#[test]
fn search_prints_lines_in_the_order_of_paths() {
    let folder = Folder::new("search");
    folder.file("a/z", "one fan\ntwo\nfan fan\r\nno end fan");
    folder.file("a.b", "\n\nfan\n");
    folder.file("b", "fan\0fan\n");
    folder.file(".hidden", "fanpool");
    let all = ".hidden:1:fanpool\na/z:1:one fan\na/z:3:fan fan\r\na/z:4:no end fan\na.b:3:fan\n";
    for threads in ["-j1", "-j2", "-j7"] {
        assert_eq!(folder.run(SEARCH, &[threads, "fan"], "").with(0, 0), all);
    }
    assert_eq!(folder.run(SEARCH, &["-i", "^FAN$", "a.b", "a"], "").with(0, 0), "a.b:3:fan\n");
    // What may match the end of a line is asked for within lines alone; an empty match is in each line, and in none after the last.
    assert_eq!(folder.run(SEARCH, &[r"two\s+fan|\Afan\z", "a", "a.b"], "").with(0, 0), "a.b:3:fan\n");
    assert_eq!(folder.run(SEARCH, &["x*", "a.b"], "").with(0, 0), "a.b:1:\na.b:2:\na.b:3:fan\n");
    folder.run(SEARCH, &["nowhere"], "").with(1, 0);
}

#[test]
fn search_finds_words_beside_bytes_that_are_not_ascii() {
    let folder = Folder::new("search-words");
    // Longer than a piece, so that a line is cut.
    let long = format!("{}\nübung macht übung\n{} end\nend\n", "x".repeat(200_000), "é ".repeat(100_000));
    folder.file("text", &long);
    let found = folder.run(SEARCH, &[r"\bmacht\b|\bbung", "text"], "").with(0, 0);
    assert_eq!(found, "text:2:übung macht übung\n");
    let found = folder.run(SEARCH, &[r"\b\w{3}\b", "text"], "").with(0, 0);
    let numbers: Vec<&str> = found.lines().map(|line| line.split(':').nth(1).unwrap()).collect();
    assert_eq!(numbers, ["3", "4"]);
    // Looked for by its bytes, and still only where the whole of it matches.
    assert_eq!(folder.run(SEARCH, &[r"^\w?end$", "text"], "").with(0, 0), "text:4:end\n");
}

#[test]
fn search_refuses_what_makes_no_sense() {
    let folder = Folder::new("search-bad");
    folder.file("good", "fan\n");
    let complaint = folder.run(SEARCH, &["(", "good"], "");
    assert!(complaint.complaints().contains("unclosed group"));
    assert_eq!(complaint.0.status.code(), Some(2));
    folder.run(SEARCH, &[r"a\nb", "good"], "").with(2, 1);
    folder.run(SEARCH, &[], "").with(2, 1);
    folder.run(SEARCH, &["-j0", "fan"], "").with(2, 1);
    assert_eq!(folder.run(SEARCH, &["fan", "missing", "good"], "").with(2, 1), "good:1:fan\n");
}

#[test]
fn csvmap_keeps_rows_in_their_places() {
    let folder = Folder::new("csvmap");
    let rows = folder.run(CSVMAP, &["generate", "5000", "3"], "").with(0, 0);
    let one = folder.run(CSVMAP, &["-j1"], &rows).with(1, 5);
    assert_eq!(one, folder.run(CSVMAP, &["-j4"], &rows).with(1, 5));
    let names: Vec<&str> = one.lines().filter(|line| line.starts_with('P')).map(|line| &line[..10]).collect();
    let wanted: Vec<String> = (1..=5000).filter(|row| row % 1000 != 0).map(|row| format!("P{row:09}")).collect();
    assert_eq!(names, wanted);
}

#[test]
fn csvmap_names_lines_that_it_cannot_do() {
    let folder = Folder::new("csvmap-bad");
    let header = "to_lon,name,from_lat,from_lon,to_lat\n";
    let rows =
        "1,equator,0,0,0\n1,\"two\nlines\",91,0,0\n,empty,0,0,0\n1,short,0\n1,nan,nan,0,0\n179.7,opposite,0,0,0.3\n";
    let ended = folder.run(CSVMAP, &["-j2"], &format!("{header}{rows}"));
    let complaints = ended.complaints();
    let lines: Vec<&str> = complaints.lines().filter_map(|line| line.split(' ').nth(4)).collect();
    assert_eq!(lines, ["3:", "5:", "6:", "7:", "8:"], "{complaints}");
    assert_eq!(ended.with(1, 5), "to_lon,name,from_lat,from_lon,to_lat,km\n1,equator,0,0,0,111.319491\n");
    folder.run(CSVMAP, &[], "a,b\n1,2\n").with(1, 1);
    folder.run(CSVMAP, &[], "").with(1, 1);
    folder.run(CSVMAP, &["missing"], "").with(1, 1);
    folder.run(CSVMAP, &["-j", "x"], "").with(2, 1);
}

#[test]
fn infer_scores_in_batches_as_one_by_one() {
    let folder = Folder::new("infer");
    folder.run(INFER, &["train", "--trees", "3", "model", "9"], "").with(0, 0);
    let requests = folder.run(INFER, &["requests", "1000", "4"], "").with(0, 0);
    let single = folder.run(INFER, &["score", "--batch", "1", "model"], &requests).with(0, 0);
    assert_eq!(single.lines().count(), 1000);
    for batch in ["2", "7", "1024"] {
        assert_eq!(folder.run(INFER, &["score", "-j3", "--batch", batch, "model"], &requests).with(0, 0), single);
    }
    // Bad lines leave the others in their places.
    let mixed = requests.replacen('\n', "\n1,2\n", 1) + "x\n";
    let ended = folder.run(INFER, &["score", "model"], &mixed);
    let complaints = ended.complaints();
    assert!(complaints.starts_with("infer: line 2: 2 numbers"), "{complaints}");
    assert!(complaints.contains("line 1002: x is not a number"), "{complaints}");
    assert_eq!(ended.with(1, 2), single);
    folder.file("cut", &fs::read(folder.path("model")).unwrap()[..5000]);
    folder.run(INFER, &["score", "cut"], "").with(1, 1);
    folder.run(INFER, &["score", "missing"], "").with(1, 1);
    folder.run(INFER, &["score", "--batch", "0", "model"], "").with(2, 1);
}

#[test]
fn thumbs_does_the_others_where_one_is_broken() {
    let folder = Folder::new("thumbs");
    let picture = RgbImage::from_fn(400, 300, |x, y| Rgb([x as u8, y as u8, (x * y) as u8]));
    let mut photograph = Vec::new();
    picture.write_to(&mut Cursor::new(&mut photograph), ImageFormat::Jpeg).unwrap();
    folder.file("in/photo.jpeg", &photograph);
    folder.file("in/deep/copy.JPG", &photograph);
    folder.file("in/deep/none.txt", "no picture");
    folder.run(THUMBS, &["--size", "100", "in", "out"], "").with(0, 0);
    let small = image::open(folder.path("out/deep/copy.JPG")).unwrap();
    assert_eq!((small.width(), small.height()), (100, 75));
    assert!(!folder.0.join("out/deep/none.txt").exists());
    // What is smaller stays, also what was made before.
    small.save(folder.path("in/small.png")).unwrap();
    folder.file("in/cut.jpg", &photograph[..photograph.len() / 2]);
    folder.file("in/empty.png", "");
    folder.file("in/noise.jpg", &photograph[1000..1500]);
    let complaints = folder.run(THUMBS, &["in", "in/out"], "").complaints();
    let wanted = ["in/cut.jpg: ends in the middle", "in/empty.png: The image format", "in/noise.jpg: The image format"];
    assert_eq!(complaints.lines().count(), wanted.len());
    for (line, wanted) in complaints.lines().zip(wanted) {
        assert!(line.contains(wanted), "{line}");
    }
    // Thumbnails are not photographs: a second time they do not come out again.
    folder.run(THUMBS, &["in", "in/out"], "").with(1, 3);
    assert!(!folder.0.join("in/out/out").exists());
    let small = image::open(folder.path("in/out/small.png")).unwrap();
    assert_eq!((small.width(), small.height()), (100, 75));
    folder.run(THUMBS, &["--with", "rayon", "in", "rayon"], "").with(1, 3);
    for name in ["photo.jpeg", "deep/copy.JPG", "small.png"] {
        let same = fs::read(folder.path(&format!("in/out/{name}"))).unwrap();
        assert_eq!(fs::read(folder.path(&format!("rayon/{name}"))).unwrap(), same, "{name}");
    }
    folder.run(THUMBS, &["missing", "out"], "").with(1, 1);
    folder.run(THUMBS, &["in"], "").with(2, 1);
}
