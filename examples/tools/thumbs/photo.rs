//! Photographs that nobody took: a sky, a sun, hills, and the noise of a sensor.

use fanpool::Pool;
use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder, ImageError};
use std::fs;
use std::path::Path;
use tools::{Random, shown};

const WIDTH: usize = 1632;
const HEIGHT: usize = 1224;
const QUALITY: u8 = 90;

/// Writes `count` photographs, each from a seed of its own.
pub(crate) fn generate(pool: &Pool, folder: &Path, count: usize, seed: u64) -> Result<(), String> {
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", shown(folder)))?;
    let photograph = |number: usize| {
        let path = folder.join(format!("photo-{number:04}.jpg"));
        let packed = pack(&pixels(&mut Random::new(seed.wrapping_mul(1_000_003).wrapping_add(number as u64))));
        packed.and_then(|packed| Ok(fs::write(&path, packed)?)).map_err(|error| format!("{}: {error}", shown(&path)))
    };
    pool.map(1..=count, photograph).try_for_each(|written| written)
}

fn pack(pixels: &[u8]) -> Result<Vec<u8>, ImageError> {
    let mut packed = Vec::new();
    let encoder = JpegEncoder::new_with_quality(&mut packed, QUALITY);
    encoder.write_image(pixels, WIDTH as u32, HEIGHT as u32, ExtendedColorType::Rgb8)?;
    Ok(packed)
}

type Color = [f32; 3];

fn color(random: &mut Random) -> Color {
    [0; 3].map(|_| random.between(20.0, 235.0) as f32)
}

fn blend(a: Color, b: Color, part: f32) -> Color {
    [0, 1, 2].map(|i| a[i] + (b[i] - a[i]) * part)
}

/// A range of hills: waves of two lengths, the nearer the darker.
struct Hills {
    level: f32,
    waves: [(f32, f32, f32); 3],
    color: Color,
}

impl Hills {
    fn new(random: &mut Random, level: f32) -> Hills {
        let mut wave = |height: f64| {
            let length = random.between(60.0, 500.0);
            (length as f32, random.between(0.0, 6.0) as f32, random.between(0.2, 1.0) as f32 * height as f32)
        };
        Hills { level, waves: [wave(90.0), wave(50.0), wave(15.0)], color: color(random) }
    }

    fn top(&self, x: f32) -> f32 {
        self.level + self.waves.iter().map(|(length, phase, height)| (x / length + phase).sin() * height).sum::<f32>()
    }
}

fn pixels(random: &mut Random) -> Vec<u8> {
    let (zenith, horizon, sun) = (color(random), color(random), color(random));
    let (sun_x, sun_y) = (random.unit() as f32 * WIDTH as f32, random.unit() as f32 * HEIGHT as f32 * 0.6);
    let radius = random.between(40.0, 200.0) as f32;
    let hills = [0.5, 0.65, 0.8].map(|level| Hills::new(random, level * HEIGHT as f32));
    let grain = random.between(3.0, 14.0) as f32;
    let mut pixels = vec![0; WIDTH * HEIGHT * 3];
    let tops: Vec<[f32; 3]> = (0..WIDTH).map(|x| [0, 1, 2].map(|i| hills[i].top(x as f32))).collect();
    for (y, row) in pixels.chunks_exact_mut(WIDTH * 3).enumerate() {
        let y = y as f32;
        let sky = blend(zenith, horizon, y / HEIGHT as f32);
        for (x, (pixel, tops)) in row.chunks_exact_mut(3).zip(&tops).enumerate() {
            let mut color = sky;
            let distance = (x as f32 - sun_x).hypot(y - sun_y);
            if distance < 2.0 * radius {
                color = blend(sun, sky, (distance / radius - 1.0).clamp(0.0, 1.0));
            }
            for (hill, top) in hills.iter().zip(tops) {
                if y > *top {
                    color = blend(hill.color, [10.0; 3], ((y - top) / HEIGHT as f32).min(1.0));
                }
            }
            let bits = random.bits();
            for (i, part) in pixel.iter_mut().enumerate() {
                let noise = f32::from((bits >> (8 * i)) as u8) / 128.0 - 1.0;
                *part = (color[i] + noise * grain).clamp(0.0, 255.0) as u8;
            }
        }
    }
    pixels
}
