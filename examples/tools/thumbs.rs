//! Writes thumbnails of photographs.
//!
//! `cargo run --release -p tools --bin thumbs -- [--size N] [-j N] [--with rayon] IN OUT`
//!
//! Every JPEG and PNG file under `IN` comes out under `OUT` with the same path and format, turned the way its camera was held, and at most `N`
//! pixels wide and high (default: 160). Smaller pictures stay as they are. A file that is no picture is named on standard
//! error, the others are done, and the exit code is 1. `thumbs generate DIR COUNT SEED` makes photographs up.
//!
//! It shows a map over files of very different size, and how little of a program a pool is: with `--with rayon` the same work
//! runs on rayon.

#[path = "thumbs/photo.rs"]
mod photo;

use fanpool::Pool;
use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader};
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Cursor};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tools::{Arguments, Failure, shown};

const USAGE: &str = "usage: thumbs [--size N] [-j N] [--with rayon] IN OUT, or thumbs generate DIR COUNT SEED";
const QUALITY: u8 = 85;

fn main() -> ExitCode {
    tools::end("thumbs", USAGE, 1, run())
}

fn run() -> Result<ExitCode, Failure> {
    let given = std::env::args_os().skip(1);
    let arguments = Arguments::parse(given, &["--size", "-j", "--with"], &[]).map_err(Failure::Usage)?;
    let size = arguments.number("--size", 1..=10_000, 160).map_err(Failure::Usage)? as u32;
    let threads = arguments.threads().map_err(Failure::Usage)?;
    let rayon = match arguments.value("--with").map(OsStr::to_str) {
        None => false,
        Some(Some("rayon")) => true,
        Some(_) => return Err(Failure::Usage("--with takes rayon".into())),
    };
    match arguments.rest.as_slice() {
        [generate, folder, count, seed] if generate == "generate" => {
            let numbers = count.to_str().zip(seed.to_str());
            let numbers = numbers.and_then(|(count, seed)| Some((count.parse().ok()?, seed.parse().ok()?)));
            let (count, seed) = numbers.ok_or(Failure::Usage("COUNT and SEED are numbers".into()))?;
            let pool = Pool::builder().workers(threads).build()?;
            photo::generate(&pool, Path::new(folder), count, seed).map_err(Failure::Stop)?;
            Ok(ExitCode::SUCCESS)
        }
        [from, to] => {
            let job = Job { from: from.into(), to: to.into(), size };
            let (paths, mut failed) = job.photographs();
            let make = |path: &PathBuf| job.thumbnail(path).map_err(|error| format!("{}: {error}", shown(path)));
            let mut take = |made: Result<(), String>| {
                if let Err(message) = made {
                    eprintln!("thumbs: {message}");
                    failed = true;
                }
            };
            if rayon {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
                let pool = pool.map_err(|error| Failure::Stop(error.to_string()))?;
                let made: Vec<_> = pool.install(|| paths.par_iter().map(make).collect());
                made.into_iter().for_each(take);
            } else {
                // This thread takes part: it is one of them.
                let pool = Pool::builder().workers(threads.max(2) - 1).name("thumbs").build()?;
                pool.map(&paths, make).limit(threads).for_each(&mut take);
            }
            Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
        }
        _ => Err(Failure::Usage("two folders wanted".into())),
    }
}

struct Job {
    from: PathBuf,
    to: PathBuf,
    size: u32,
}

impl Job {
    /// The photographs in the order of their paths, and whether a folder could not be read. What is under `to` are thumbnails.
    fn photographs(&self) -> (Vec<PathBuf>, bool) {
        let to = fs::canonicalize(&self.to).ok();
        let (mut found, mut failed, mut open) = (Vec::new(), false, vec![self.from.clone()]);
        while let Some(folder) = open.pop() {
            if to.is_some() && fs::canonicalize(&folder).ok() == to {
                continue;
            }
            let entries = fs::read_dir(&folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
            for entry in entries.unwrap_or_else(|error| {
                eprintln!("thumbs: {}: {error}", shown(&folder));
                failed = true;
                Vec::new()
            }) {
                let (path, kind) = (entry.path(), entry.file_type());
                match kind {
                    Ok(kind) if kind.is_dir() => open.push(path),
                    Ok(_) if ImageFormat::from_path(&path).is_ok_and(|format| format.reading_enabled()) => {
                        found.push(path)
                    }
                    _ => {}
                }
            }
        }
        found.sort_unstable();
        (found, failed)
    }

    fn thumbnail(&self, path: &Path) -> Result<(), ImageError> {
        let file = fs::read(path)?;
        let reader = ImageReader::new(Cursor::new(&file)).with_guessed_format()?;
        let format = reader.format();
        if format == Some(ImageFormat::Jpeg) && !is_whole(&file) {
            return Err(io::Error::other("ends in the middle of the picture").into());
        }
        let mut decoder = reader.into_decoder()?;
        let orientation = decoder.orientation()?;
        let mut picture = DynamicImage::from_decoder(decoder)?;
        if picture.width().max(picture.height()) > self.size {
            picture = picture.thumbnail(self.size, self.size);
        }
        picture.apply_orientation(orientation);
        let mut packed = Vec::new();
        match format {
            Some(ImageFormat::Png) => picture.write_to(&mut Cursor::new(&mut packed), ImageFormat::Png)?,
            _ => picture.write_with_encoder(JpegEncoder::new_with_quality(&mut packed, QUALITY))?,
        }
        let target = self.to.join(path.strip_prefix(&self.from).unwrap_or(path));
        if let Some(folder) = target.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&target, packed).inspect_err(|_| {
            // Half of it is worse than nothing.
            let _ = fs::remove_file(&target);
        })?;
        Ok(())
    }
}

/// Whether a JPEG file has its end. The decoder is content without, and paints the rest grey.
fn is_whole(file: &[u8]) -> bool {
    let mut rest = file.get(2..).unwrap_or_default();
    while let [0xff, marker, after @ ..] = rest {
        match (marker, after) {
            // Padding.
            (0xff, _) => rest = &rest[1..],
            // From here on are the pixels, among which no marker can be.
            (0xda, _) => return memchr::memmem::find(after, &[0xff, 0xd9]).is_some(),
            (_, [high, low, ..]) => {
                let length = usize::from(u16::from_be_bytes([*high, *low]));
                rest = after.get(length..).unwrap_or_default();
            }
            _ => return false,
        }
    }
    false
}
