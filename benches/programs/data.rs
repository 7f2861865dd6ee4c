//! What the programs work on, made once.

use crate::run::Cores;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Words of the vocabulary of the text that is made up, files, and words in each.
const VOCABULARY: u64 = 50_000;
const FILES: u64 = 200;
const WORDS: u64 = 20_000;
/// Bytes of the file that is compressed.
const LARGE: u64 = 128 << 20;

pub(crate) struct Data {
    /// Where it all is.
    pub(crate) root: PathBuf,
    pub(crate) out: PathBuf,
    /// Where the programs are.
    programs: PathBuf,
    /// A tree of many files, and what it is.
    pub(crate) tree: PathBuf,
    pub(crate) tree_is: &'static str,
}

impl Data {
    /// Builds the programs, and makes what is not there yet.
    pub(crate) fn prepare(cores: &Cores) -> Result<Data, String> {
        let exe = std::env::current_exe().map_err(|error| error.to_string())?;
        let programs = exe.parent().and_then(Path::parent).ok_or("not in a target folder")?.to_owned();
        build()?;
        let root = programs.parent().unwrap_or(&programs).join("programs");
        let data = Data::new(root, programs).map_err(|error| error.to_string())?;
        data.make("photos", |to| {
            data.run(cores, "thumbs", &["generate".as_ref(), to, "60".as_ref(), "1".as_ref()], None)
        })?;
        data.make("rows.csv", |to| data.run(cores, "csvmap", &["generate", "1000000", "1"], Some(to)))?;
        data.make("requests.csv", |to| data.run(cores, "infer", &["requests", "200000", "1"], Some(to)))?;
        data.make("model", |to| data.run(cores, "infer", &["train".as_ref(), to, "1".as_ref()], None))?;
        data.make("large", |to| large(&data.tree, Path::new(to)))?;
        Ok(data)
    }

    fn new(root: PathBuf, programs: PathBuf) -> io::Result<Data> {
        let out = root.join("out");
        fs::create_dir_all(&out)?;
        let text = root.join("text");
        if !text.exists() {
            let draft = root.join("draft-text");
            let _ = fs::remove_dir_all(&draft);
            write_text(&draft)?;
            fs::rename(&draft, &text)?;
        }
        let sysroot = Command::new("rustc").args(["--print", "sysroot"]).output();
        let sysroot =
            sysroot.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
        let documentation = Path::new(&sysroot).join("share/doc/rust/html");
        let (tree, tree_is) = if documentation.is_dir() {
            (documentation, "the toolchain's documentation")
        } else {
            (text, "text that is made up")
        };
        Ok(Data { root, out, programs, tree, tree_is })
    }

    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }

    /// Makes a file or folder under a name for drafts, unless it is there.
    fn make(&self, name: &str, make: impl Fn(&OsStr) -> io::Result<()>) -> Result<(), String> {
        let path = self.root.join(name);
        if path.exists() {
            return Ok(());
        }
        let draft = self.root.join(format!("draft-{name}"));
        let _ = fs::remove_dir_all(&draft);
        let made = make(draft.as_os_str()).and_then(|()| fs::rename(&draft, &path));
        made.map_err(|error| format!("cannot make {}: {error}", path.display()))
    }

    /// Runs one of the programs, with standard output into a file.
    fn run(
        &self,
        cores: &Cores,
        name: &str,
        arguments: &[impl AsRef<OsStr>],
        stdout: Option<&OsStr>,
    ) -> io::Result<()> {
        let mut command = cores.command(self.program(name));
        command.args(arguments).stdin(Stdio::null());
        if let Some(path) = stdout {
            command.stdout(File::create(path)?);
        }
        let status = command.status()?;
        if status.success() { Ok(()) } else { Err(io::Error::other(format!("{name}: {status}"))) }
    }
}

fn build() -> Result<(), String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let wanted = [
        vec!["--package", "fanpool", "--example", "checksum", "--example", "wordcount"],
        vec!["--package", "apps", "--bin", "pgz"],
        vec!["--package", "tools"],
    ];
    for wanted in wanted {
        let status = Command::new(&cargo).args(["build", "--release", "--quiet"]).args(&wanted).status();
        if !status.map_err(|error| format!("cannot start cargo: {error}"))?.success() {
            return Err(format!("cannot build {}", wanted.join(" ")));
        }
    }
    Ok(())
}

/// SplitMix64.
fn random(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut bits = *seed;
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// Text in which some words are frequent and most are rare.
fn write_text(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let mut seed = 1;
    let words: Vec<String> = (0..VOCABULARY)
        .map(|_| {
            let letters = 2 + random(&mut seed) % 9;
            (0..letters).map(|_| char::from(b'a' + (random(&mut seed) % 26) as u8)).collect()
        })
        .collect();
    for file in 0..FILES {
        let mut out = io::BufWriter::new(File::create(folder.join(format!("text-{file:03}.txt")))?);
        for word in 1..=WORDS {
            // The product of two numbers is small more often than large.
            let (a, b) = (random(&mut seed) % VOCABULARY, random(&mut seed) % VOCABULARY);
            out.write_all(words[(a * b / VOCABULARY) as usize].as_bytes())?;
            out.write_all(if word % 12 == 0 { b".\n" } else { b" " })?;
        }
        out.flush()?;
    }
    Ok(())
}

/// The files of a tree one after the other, as much as is wanted.
fn large(tree: &Path, to: &Path) -> io::Result<()> {
    let mut out = File::create(to)?;
    let (mut open, mut left) = (vec![tree.to_owned()], LARGE);
    while let Some(path) = open.pop().filter(|_| left > 0) {
        if path.is_dir() {
            let mut entries = fs::read_dir(&path)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
            entries.sort_unstable_by(|a, b| b.cmp(a));
            open.append(&mut entries);
        } else {
            left -= io::copy(&mut io::Read::take(File::open(&path)?, left), &mut out)?;
        }
    }
    Ok(())
}
