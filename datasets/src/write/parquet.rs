//! `data.parquet`: `id, problem, answer, images: list<struct{bytes, path}>, meta` (JSON text).
//!
//! Image bytes lie uncompressed in small pages, so that a mapped file serves them without a copy. The `huggingface`
//! metadata says what Python's `datasets` must decode.

use super::{stored_images, stored_meta};
use crate::{Encoded, Error, Result, Sample};
use parquet::basic::Compression;
use parquet::column::writer::ColumnCloseResult;
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::ColumnPath;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const SCHEMA: &str = "message schema {
    optional binary id (STRING);
    optional binary problem (STRING);
    optional binary answer (STRING);
    optional group images (LIST) {
        repeated group list {
            optional group element { optional binary bytes; optional binary path (STRING); }
        }
    }
    optional binary meta (STRING);
}";

const FEATURES: &str = r#"{"info":{"features":{
"id":{"dtype":"string","_type":"Value"},
"problem":{"dtype":"string","_type":"Value"},
"answer":{"dtype":"string","_type":"Value"},
"images":{"feature":{"_type":"Image"},"_type":"Sequence"},
"meta":{"dtype":"string","_type":"Value"}}}}"#;

/// Bytes after which a page of images ends.
const PAGE: usize = 1 << 20;

fn properties() -> WriterProperties {
    let bytes = ColumnPath::new(["images", "list", "element", "bytes"].map(String::from).to_vec());
    let features = FEATURES.replace('\n', "");
    WriterProperties::builder()
        .set_created_by("foveate".into())
        .set_compression(Compression::SNAPPY)
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_column_compression(bytes, Compression::UNCOMPRESSED)
        .set_data_page_size_limit(PAGE)
        // Page size is looked at once a batch: a large batch of photographs would make one page of a gigabyte.
        .set_write_batch_size(8)
        .set_offset_index_disabled(true)
        .set_key_value_metadata(Some(vec![KeyValue::new("huggingface".into(), features)]))
        .build()
}

/// Writes row groups to `W`.
pub struct ParquetWriter<W: Write + Send> {
    path: PathBuf,
    inner: SerializedFileWriter<W>,
}

impl<W: Write + Send> ParquetWriter<W> {
    /// Starts a file; `path` is for messages.
    ///
    /// # Errors
    /// The magic bytes cannot be written.
    pub fn new(out: W, path: &Path) -> Result<Self> {
        let fail = |e: ParquetError| Error::file(path, e);
        let schema = Arc::new(parse_message_type(SCHEMA).map_err(fail)?);
        let inner = SerializedFileWriter::new(out, schema, Arc::new(properties())).map_err(fail)?;
        Ok(Self { path: path.to_path_buf(), inner })
    }

    /// Writes `samples` as one row group.
    ///
    /// # Errors
    /// An image cannot be read, or the file not written.
    pub fn group<'a>(&mut self, samples: impl IntoIterator<Item = &'a Sample>) -> Result<()> {
        let columns = Columns::of(samples)?;
        let fail = |e: ParquetError| Error::file(&self.path, e);
        let mut group = self.inner.next_row_group().map_err(fail)?;
        columns.write(&mut group).map_err(fail)?;
        group.close().map_err(fail)?;
        Ok(())
    }

    /// Appends every row group of `part`, a file of this writer, byte for byte.
    ///
    /// # Errors
    /// `part` cannot be read, or the file not written.
    pub fn append(&mut self, part: &Path) -> Result<()> {
        let fail = |e: ParquetError| Error::file(part, e);
        let file = File::open(part).map_err(Error::io(part))?;
        let reader = SerializedFileReader::new(file.try_clone().map_err(Error::io(part))?).map_err(fail)?;
        for from in reader.metadata().row_groups() {
            let mut group = self.inner.next_row_group().map_err(fail)?;
            for column in from.columns() {
                let result = ColumnCloseResult {
                    bytes_written: column.compressed_size() as u64,
                    rows_written: from.num_rows() as u64,
                    metadata: column.clone(),
                    bloom_filter: None,
                    column_index: None,
                    offset_index: None,
                };
                group.append_column(&file, result).map_err(fail)?;
            }
            group.close().map_err(fail)?;
        }
        Ok(())
    }

    /// Writes the footer.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn finish(self) -> Result<()> {
        self.inner.close().map(|_| ()).map_err(|e| Error::file(&self.path, e))
    }
}

/// The columns of a row group.
#[derive(Default)]
struct Columns {
    id: Vec<ByteArray>,
    problem: Vec<ByteArray>,
    answer: Vec<ByteArray>,
    bytes: Vec<ByteArray>,
    path: Vec<ByteArray>,
    meta: Vec<ByteArray>,
    /// Definition levels of the images: 1 for an empty list, 4 for an image.
    defined: Vec<i16>,
    /// Repetition levels of the images: 0 for a row's first.
    repeated: Vec<i16>,
}

impl Columns {
    fn of<'a>(samples: impl IntoIterator<Item = &'a Sample>) -> Result<Self> {
        let mut out = Self::default();
        for sample in samples {
            out.id.push(sample.id.as_str().into());
            out.problem.push(sample.problem.as_str().into());
            out.answer.push(sample.answer.as_str().into());
            let meta =
                serde_json::to_string(&stored_meta(sample)).map_err(|e| Error::Invalid(e.to_string()))?;
            out.meta.push(meta.as_str().into());
            if sample.images.is_empty() {
                out.defined.push(1);
                out.repeated.push(0);
            }
            for (k, (bytes, name)) in stored_images(sample)?.into_iter().enumerate() {
                out.defined.push(4);
                out.repeated.push(i16::from(k > 0));
                out.bytes.push(Encoded::into_page(bytes));
                out.path.push(name.as_str().into());
            }
        }
        Ok(out)
    }

    fn write<W: Write + Send>(
        &self,
        group: &mut SerializedRowGroupWriter<'_, W>,
    ) -> parquet::errors::Result<()> {
        let flat = vec![1; self.id.len()];
        let (defined, repeated) = (&self.defined[..], Some(&self.repeated[..]));
        let columns = [
            (&self.id, &flat[..], None),
            (&self.problem, &flat, None),
            (&self.answer, &flat, None),
            (&self.bytes, defined, repeated),
            (&self.path, defined, repeated),
            (&self.meta, &flat, None),
        ];
        for (values, defined, repeated) in columns {
            let Some(mut column) = group.next_column()? else {
                return Err(ParquetError::General("a column is missing from the schema".into()));
            };
            column.typed::<ByteArrayType>().write_batch(values, Some(defined), repeated)?;
            column.close()?;
        }
        Ok(())
    }
}
