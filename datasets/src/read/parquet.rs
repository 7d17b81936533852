//! Parquet, read page by page through the row interface.
//!
//! Text columns are read as bytes and checked here, so that a row with invalid UTF-8 spoils itself and not its row
//! group. A row group whose pages cannot be read is given up at the row where that shows; the others go on.

use super::{Cell, Fields, RawRow, Rows, Seen};
use crate::{Encoded, Error, Result};
use parquet::basic::{LogicalType, Type as Physical};
use parquet::file::metadata::ParquetMetaDataReader;
use parquet::file::reader::{ChunkReader, FileReader, SerializedFileReader};
use parquet::file::serialized_reader::ReadOptionsBuilder;
use parquet::record::reader::{ReaderIter, TreeBuilder};
use parquet::record::{Field, Row};
use parquet::schema::types::{SchemaDescriptor, Type};
use serde_json::{Map, Value};
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

/// Values of one column held decoded at a time, in bytes.
const WINDOW: u64 = 16 << 20;
/// A row group may claim to unpack to this many bytes,
const MAX_GROUP: u64 = 4 << 30;
/// or to this many times the bytes it has in the file: images do not shrink further.
const MAX_RATIO: u64 = 16;
/// A row group may claim this many rows; sums of claims then never overflow.
const MAX_ROWS: u64 = 1 << 40;
/// A file may hold this many columns.
const MAX_COLUMNS: usize = 10_000;

pub(super) fn rows(path: &Path, seen: &Seen) -> Result<Rows> {
    let file = File::open(path).map_err(Error::io(path))?;
    let length = file.metadata().map_err(Error::io(path))?.len();
    Ok(Box::new(Groups::open(file, length, seen.clone()).map_err(|e| Error::file(path, e))?))
}

/// Rows of a mapped file; the bytes of uncompressed pages are not copied.
pub(crate) fn mapped_rows(bytes: bytes::Bytes) -> std::result::Result<Rows, String> {
    let length = bytes.len() as u64;
    Ok(Box::new(Groups::open(bytes, length, Seen::default())?))
}

/// What a column is, where that differs from how it is stored.
enum Shape {
    Text,
    Other,
    Group(Vec<(String, Shape)>),
}

struct Groups<R: ChunkReader> {
    reader: SerializedFileReader<R>,
    length: u64,
    columns: Vec<(String, Shape)>,
    next_group: usize,
    open: Option<Group>,
    row: u64,
    seen: Seen,
}

struct Group {
    index: usize,
    rows: ReaderIter,
    done: u64,
    total: u64,
    one_by_one: bool,
    /// Bytes of the file that a row stands for.
    row_bytes: u64,
}

impl<R: ChunkReader + 'static> Groups<R> {
    fn open(source: R, length: u64, seen: Seen) -> std::result::Result<Self, String> {
        // Read twice: once to learn the schema, once with text columns plain.
        let plain = guard(|| ParquetMetaDataReader::new().parse_and_finish(&source))?;
        let plain = plain.file_metadata().schema_descr_ptr();
        if plain.num_columns() > MAX_COLUMNS {
            return Err(format!("{} columns, the limit is {MAX_COLUMNS}", plain.num_columns()));
        }
        let root = plain.root_schema();
        let columns = root.get_fields().iter().map(|f| (f.name().to_owned(), shape(f))).collect();
        let untyped = Arc::new(SchemaDescriptor::new(Arc::new(without_text(root)?)));
        let options = ReadOptionsBuilder::new().with_parquet_schema(untyped).build();
        let reader = guard(|| SerializedFileReader::new_with_options(source, options))?;
        Ok(Self { reader, length, columns, next_group: 0, open: None, row: 0, seen })
    }

    fn start(&self, index: usize, batch: Option<usize>) -> std::result::Result<ReaderIter, String> {
        let meta = self.reader.metadata().row_group(index);
        let claimed = u64::try_from(meta.total_byte_size()).unwrap_or(u64::MAX);
        let stored = guard(|| Ok(meta.compressed_size()))?;
        if claimed > MAX_GROUP.max(u64::try_from(stored).unwrap_or(0).saturating_mul(MAX_RATIO)) {
            return Err(format!("claims {claimed} bytes of {stored} stored, the limit is {MAX_GROUP}"));
        }
        for column in meta.columns() {
            let (start, size) = guard(|| Ok(column.byte_range()))?;
            if start.saturating_add(size) > self.length {
                let end = start.saturating_add(size);
                return Err(format!(
                    "row group {index} claims bytes up to {end}, the file has {}",
                    self.length
                ));
            }
        }
        let average = claimed / (meta.num_rows().max(1) as u64);
        let batch = batch.unwrap_or((WINDOW / average.max(1)).clamp(1, 256) as usize);
        guard(|| {
            let group = self.reader.get_row_group(index)?;
            let schema = self.reader.metadata().file_metadata().schema_descr_ptr();
            TreeBuilder::new().with_batch_size(batch).as_iter(schema, &*group)
        })
    }

    /// Opens the next row group; a broken one is its rows, all bad.
    fn advance(&mut self) -> Option<RawRow> {
        let index = self.next_group;
        self.next_group += 1;
        let claimed = u64::try_from(self.reader.metadata().row_group(index).num_rows()).unwrap_or(0);
        let total = claimed.min(MAX_ROWS);
        match self.start(index, None) {
            Ok(rows) => {
                // Never negative, never an overflow: the claims of this group were checked when it was started.
                let bytes =
                    u64::try_from(self.reader.metadata().row_group(index).compressed_size()).unwrap_or(0);
                let row_bytes = bytes / total.max(1);
                self.open = Some(Group { index, rows, done: 0, total, one_by_one: false, row_bytes });
                None
            }
            Err(reason) => self.give_up(total, &format!("row group {index}: {reason}")),
        }
    }

    fn give_up(&mut self, count: u64, reason: &str) -> Option<RawRow> {
        let row = self.row;
        self.row += count;
        (count > 0).then(|| RawRow { row, count, fields: Err(reason.to_owned()) })
    }

    /// A failed read has lost the rows read ahead with it: goes back to the last good row, now one row at a time, or
    /// gives up the rest of the group.
    fn recover(&mut self, group: &Group, reason: &str) -> Option<RawRow> {
        if !group.one_by_one
            && let Ok(mut rows) = self.start(group.index, Some(1))
            && (0..group.done).all(|_| guard(|| rows.next().transpose()).is_ok_and(|r| r.is_some()))
        {
            let (index, done, total, row_bytes) = (group.index, group.done, group.total, group.row_bytes);
            self.open = Some(Group { index, rows, done, total, one_by_one: true, row_bytes });
            return None;
        }
        self.give_up(group.total - group.done, &format!("row group {}: {reason}", group.index))
    }
}

impl<R: ChunkReader + 'static> Iterator for Groups<R> {
    type Item = RawRow;

    fn next(&mut self) -> Option<RawRow> {
        loop {
            let Some(mut group) = self.open.take() else {
                if self.next_group == self.reader.metadata().num_row_groups() {
                    return None;
                }
                match self.advance() {
                    Some(bad) => return Some(bad),
                    None => continue,
                }
            };
            if group.done == group.total {
                continue;
            }
            let found = match guard(|| group.rows.next().transpose()) {
                Ok(Some(row)) => {
                    let out = to_row(self.row, row, &self.columns);
                    group.done += 1;
                    self.row += 1;
                    self.seen.add(group.row_bytes);
                    self.open = Some(group);
                    return Some(out);
                }
                Ok(None) => {
                    self.recover(&group, &format!("ends after {} of {} rows", group.done, group.total))
                }
                Err(reason) => self.recover(&group, &reason),
            };
            if found.is_some() {
                return found;
            }
        }
    }
}

/// The parquet crate may panic on malformed input; a panic is a reason like any other.
fn guard<T>(work: impl FnOnce() -> parquet::errors::Result<T>) -> std::result::Result<T, String> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(|e| e.to_string()),
        Err(_) => Err("malformed parquet".into()),
    }
}

fn is_text(ty: &Type) -> bool {
    let info = ty.get_basic_info();
    matches!(info.logical_type_ref(), Some(LogicalType::String | LogicalType::Json | LogicalType::Enum))
        || matches!(
            info.converted_type(),
            parquet::basic::ConvertedType::UTF8
                | parquet::basic::ConvertedType::JSON
                | parquet::basic::ConvertedType::ENUM
        )
}

fn shape(ty: &Type) -> Shape {
    match ty {
        Type::PrimitiveType { .. } if is_text(ty) => Shape::Text,
        Type::PrimitiveType { .. } => Shape::Other,
        Type::GroupType { fields, .. } => {
            Shape::Group(fields.iter().map(|f| (f.name().to_owned(), shape(f))).collect())
        }
    }
}

fn without_text(ty: &Type) -> std::result::Result<Type, String> {
    let name = ty.name();
    let build = |e: parquet::errors::ParquetError| e.to_string();
    match ty {
        Type::PrimitiveType { .. } if is_text(ty) => {
            let repetition = ty.get_basic_info().repetition();
            Type::primitive_type_builder(name, Physical::BYTE_ARRAY)
                .with_repetition(repetition)
                .build()
                .map_err(build)
        }
        Type::PrimitiveType { .. } => Ok(ty.clone()),
        Type::GroupType { basic_info, fields } => {
            let fields: std::result::Result<Vec<_>, _> =
                fields.iter().map(|f| without_text(f).map(Arc::new)).collect();
            Ok(Type::GroupType { basic_info: basic_info.clone(), fields: fields? })
        }
    }
}

fn to_row(row: u64, fields: Row, columns: &[(String, Shape)]) -> RawRow {
    let cells = fields.into_columns().into_iter().zip(columns).map(|((name, field), (_, shape))| {
        let cell = to_cell(field, shape).map_err(|e| format!("field `{name}`: {e}"))?;
        Ok((name, cell))
    });
    RawRow { row, count: 1, fields: cells.collect::<std::result::Result<Fields, String>>() }
}

fn to_cell(field: Field, shape: &Shape) -> std::result::Result<Cell, String> {
    match (field, shape) {
        (Field::Bytes(bytes), Shape::Text) => match std::str::from_utf8(bytes.data()) {
            Ok(text) => Ok(Cell::Json(text.into())),
            Err(e) => Err(format!("invalid UTF-8 at byte {}", e.valid_up_to())),
        },
        // The slice keeps its page alive, so nothing is copied.
        (Field::Bytes(bytes), _) => Ok(Cell::Bytes(Encoded::from(bytes))),
        (Field::Group(row), Shape::Group(fields)) => {
            let cells = row.into_columns().into_iter().zip(fields);
            let cells =
                cells.map(|((name, field), (_, shape))| to_cell(field, shape).map(|cell| (name, cell)));
            Ok(join(cells.collect::<std::result::Result<_, _>>()?))
        }
        (Field::ListInternal(list), shape) => {
            let inner = element(shape);
            let cells: std::result::Result<Vec<_>, _> =
                list.elements().iter().map(|e| to_cell(e.clone(), inner)).collect();
            Ok(flatten(cells?))
        }
        (other, _) => Ok(Cell::Json(scalar(&other))),
    }
}

/// The element of a list: a three-level list wraps it twice, an old two-level one once.
fn element(shape: &Shape) -> &Shape {
    let Shape::Group(outer) = shape else { return shape };
    let [(_, Shape::Group(inner))] = &outer[..] else { return outer.first().map_or(shape, |f| &f.1) };
    match &inner[..] {
        [(_, only)] => only,
        _ => &outer[0].1,
    }
}

/// Bytes are no JSON; so lists and structs without them become plain JSON.
fn flatten(cells: Vec<Cell>) -> Cell {
    if cells.iter().all(|c| matches!(c, Cell::Json(_))) {
        return Cell::Json(cells.into_iter().map(Cell::into_json).collect());
    }
    Cell::List(cells)
}

fn join(fields: Vec<(String, Cell)>) -> Cell {
    if fields.iter().all(|(_, c)| matches!(c, Cell::Json(_))) {
        return Cell::Json(Value::Object(
            fields.into_iter().map(|(k, v)| (k, v.into_json())).collect::<Map<_, _>>(),
        ));
    }
    Cell::Struct(fields)
}

fn scalar(field: &Field) -> Value {
    match field {
        Field::Null => Value::Null,
        Field::Bool(v) => (*v).into(),
        Field::Byte(v) => (*v).into(),
        Field::Short(v) => (*v).into(),
        Field::Int(v) | Field::Date(v) | Field::TimeMillis(v) => (*v).into(),
        Field::Long(v) | Field::TimeMicros(v) | Field::TimestampMillis(v) | Field::TimestampMicros(v) => {
            (*v).into()
        }
        Field::UByte(v) => (*v).into(),
        Field::UShort(v) => (*v).into(),
        Field::UInt(v) => (*v).into(),
        Field::ULong(v) => (*v).into(),
        Field::Float(v) => (*v).into(),
        Field::Double(v) => (*v).into(),
        Field::Str(v) => v.as_str().into(),
        other => other.to_string().into(),
    }
}
