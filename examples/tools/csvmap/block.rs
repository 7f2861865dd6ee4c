//! Rows, many at a time.

use crate::earth::{Place, distance};
use csv::{ByteRecord, Reader, Writer, WriterBuilder};
use std::cell::RefCell;
use std::io::{Read, Write};

/// Rows in a block.
const ROWS: usize = 512;

/// Where the numbers of a row are.
pub(crate) struct Columns {
    from: [usize; 2],
    to: [usize; 2],
    count: usize,
}

impl Columns {
    pub(crate) fn find(header: &ByteRecord) -> Result<Columns, String> {
        let find = |name: &str| {
            let found = header.iter().position(|field| field == name.as_bytes());
            found.ok_or(format!("no column {name}"))
        };
        let from = [find("from_lat")?, find("from_lon")?];
        Ok(Columns { from, to: [find("to_lat")?, find("to_lon")?], count: header.len() })
    }
}

/// Some rows, and what becomes of them.
#[derive(Default)]
pub(crate) struct Block {
    /// Of these the first `rows`; the others keep their memory.
    records: Vec<ByteRecord>,
    rows: usize,
    lines: Vec<u8>,
    complaints: Vec<String>,
}

impl Block {
    pub(crate) fn lines(&self) -> &[u8] {
        &self.lines
    }

    pub(crate) fn complaints(&self) -> &[String] {
        &self.complaints
    }

    /// Reads rows until it is full or there are no more.
    fn fill(&mut self, reader: &mut Reader<impl Read>) -> Result<(), csv::Error> {
        self.rows = 0;
        while self.rows < ROWS {
            if self.rows == self.records.len() {
                self.records.push(ByteRecord::new());
            }
            if !reader.read_byte_record(&mut self.records[self.rows])? {
                break;
            }
            self.rows += 1;
        }
        Ok(())
    }

    pub(crate) fn computed(mut self, columns: &Columns) -> Block {
        self.complaints.clear();
        self.lines.clear();
        let mut writer = writer(std::mem::take(&mut self.lines));
        let mut km = Vec::new();
        for record in &mut self.records[..self.rows] {
            let written = length(record, columns).and_then(|metres| {
                km.clear();
                write!(km, "{:.6}", metres / 1000.0).map_err(|error| error.to_string())?;
                record.push_field(&km);
                writer.write_byte_record(record).map_err(|error| error.to_string())
            });
            if let Err(message) = written {
                let line = record.position().map_or(0, csv::Position::line);
                self.complaints.push(format!("line {line}: {message}"));
            }
        }
        self.lines = flushed(writer);
        self
    }
}

/// One row as it is written.
pub(crate) fn packed(record: &ByteRecord) -> Vec<u8> {
    let mut writer = writer(Vec::new());
    // Memory takes whatever is written.
    let _ = writer.write_byte_record(record);
    flushed(writer)
}

fn writer(out: Vec<u8>) -> Writer<Vec<u8>> {
    WriterBuilder::new().flexible(true).from_writer(out)
}

fn flushed(writer: Writer<Vec<u8>>) -> Vec<u8> {
    writer.into_inner().unwrap_or_default()
}

fn length(record: &ByteRecord, columns: &Columns) -> Result<f64, String> {
    if record.len() != columns.count {
        return Err(format!("{} fields, and {} columns", record.len(), columns.count));
    }
    let place = |[latitude, longitude]: [usize; 2]| -> Result<Place, String> {
        Ok(Place { latitude: degrees(&record[latitude], 90.0)?, longitude: degrees(&record[longitude], 180.0)? })
    };
    distance(place(columns.from)?, place(columns.to)?).ok_or("the places are opposite each other".into())
}

fn degrees(field: &[u8], most: f64) -> Result<f64, String> {
    let number = std::str::from_utf8(field).ok().and_then(|text| text.trim().parse().ok());
    let wrong = || format!("{} is not a number from -{most} to {most}", field.escape_ascii());
    number.filter(|number: &f64| number.abs() <= most).ok_or_else(wrong)
}

/// The rows of the input in blocks, which come back empty.
pub(crate) struct Blocks<'a, R> {
    pub(crate) reader: Reader<R>,
    pub(crate) free: &'a RefCell<Vec<Block>>,
}

impl<R: Read> Iterator for Blocks<'_, R> {
    type Item = Result<Block, csv::Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut block = self.free.borrow_mut().pop().unwrap_or_default();
        match block.fill(&mut self.reader) {
            Ok(()) if block.rows == 0 => None,
            Ok(()) => Some(Ok(block)),
            Err(error) => Some(Err(error)),
        }
    }
}
