//! Which field each byte of a `_metadata` belongs to.
//!
//! A second, independent reading of the grammar (`MetadataV2V3SerializerBase` and its heirs, then Java's
//! serialization), as far as Flink 1.15 to 2.3 really write it: it makes nothing of the values and panics at
//! anything unexpected.

/// What a field is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Says what follows: a magic number, a version, a type byte.
    Tag,
    /// Says how much follows: a length or a count.
    Length,
    /// Neither.
    Value,
}

/// A run of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    pub name: &'static str,
    pub role: Role,
    pub start: usize,
    pub end: usize,
}

/// All fields of a file, in order, without a gap.
pub fn fields(bytes: &[u8]) -> Vec<Field> {
    let mut walk = Walk {
        bytes,
        at: 0,
        version: 0,
        fields: Vec::new(),
        classes: Vec::new(),
    };
    walk.file();
    assert_eq!(walk.at, bytes.len(), "the grammar ends where the file does");
    walk.fields
}

struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
    version: i32,
    fields: Vec<Field>,
    /// Handle number and field types of each class of the Java objects; no class has a superclass.
    classes: Vec<(usize, Vec<u8>)>,
}

use Role::{Length, Tag, Value};

impl Walk<'_> {
    fn take(&mut self, name: &'static str, role: Role, count: usize) -> &[u8] {
        let (start, end) = (self.at, self.at + count);
        if count > 0 {
            self.fields.push(Field {
                name,
                role,
                start,
                end,
            });
        }
        self.at = end;
        &self.bytes[start..end]
    }

    fn u8(&mut self, name: &'static str, role: Role) -> u8 {
        self.take(name, role, 1)[0]
    }

    fn i32(&mut self, name: &'static str, role: Role) -> i32 {
        i32::from_be_bytes(self.take(name, role, 4).try_into().unwrap())
    }

    fn i64(&mut self, name: &'static str) {
        self.take(name, Value, 8);
    }

    fn count(&mut self, name: &'static str) -> usize {
        usize::try_from(self.i32(name, Length)).unwrap()
    }

    fn text(&mut self, name: &'static str) {
        let length = self.take(name, Length, 2);
        let length = u16::from_be_bytes([length[0], length[1]]);
        self.take(name, Value, length.into());
    }

    fn file(&mut self) {
        self.take("magic number", Tag, 4);
        self.version = self.i32("version", Tag);
        self.i64("checkpoint id");
        assert_eq!(self.count("master states"), 0, "our jobs have no hooks");
        for _ in 0..self.count("operators") {
            self.operator();
        }
        if self.version >= 4 {
            self.take("Java stream header", Tag, 4);
            let mut handles = 0;
            self.java_value(&mut handles);
        }
    }

    fn operator(&mut self) {
        if self.version >= 5 {
            self.text("operator name");
            self.text("operator uid");
        }
        self.take("operator id", Value, 16);
        self.i32("parallelism", Value);
        self.i32("maximum parallelism", Value);
        self.stream();
        for _ in 0..self.count("subtasks") {
            self.subtask();
        }
    }

    fn subtask(&mut self) {
        assert!(self.i32("subtask index", Value) >= 0, "no subtask finished");
        for _ in 0..2 {
            if self.i32("operator state present", Value) != 0 {
                self.operator_state();
            }
        }
        self.keyed();
        self.keyed();
        for _ in 0..self.count("input channels") {
            self.channel();
        }
        for _ in 0..self.count("output channels") {
            self.channel();
        }
    }

    fn operator_state(&mut self) {
        let tag = self.u8("operator state tag", Tag);
        for _ in 0..self.count("operator states") {
            self.text("operator state name");
            self.u8("redistribution mode", Value);
            for _ in 0..self.count("operator state offsets") {
                self.i64("operator state offset");
            }
        }
        match tag {
            4 => {}
            17 => {
                self.text("directory of merged files");
                self.text("directory of merged files");
                self.u8("merged file is empty", Value);
            }
            _ => panic!("operator state tag {tag}"),
        }
        self.stream();
    }

    /// The count of key groups is a length only where offsets follow.
    fn range(&mut self, role: Role) -> i32 {
        self.i32("first key group", Value);
        self.i32("count of key groups", role)
    }

    fn keyed(&mut self) {
        match self.u8("keyed state tag", Tag) {
            0 => {}
            tag @ (7 | 12) => {
                for _ in 0..self.range(Length) {
                    self.i64("key group offset");
                }
                self.stream();
                if tag == 12 {
                    self.text("state handle id");
                }
            }
            11 => {
                self.i64("checkpoint id of a handle");
                self.text("backend id");
                self.range(Value);
                self.i64("checkpointed size");
                self.stream();
                for _ in 0..2 {
                    for _ in 0..self.count("backend files") {
                        self.text("backend file name");
                        self.stream();
                    }
                }
                self.text("state handle id");
            }
            tag @ (8 | 14) => {
                self.range(Value);
                self.i64("checkpointed size");
                for _ in 0..self.count("materialized handles") {
                    self.keyed();
                }
                for _ in 0..self.count("changelog handles") {
                    self.keyed();
                }
                self.i64("materialization id");
                if tag == 14 {
                    self.i64("checkpoint id of a handle");
                }
                self.text("state handle id");
            }
            tag @ (10 | 13) => {
                self.range(Value);
                for _ in 0..self.count("changelog streams") {
                    self.i64("changelog offset");
                    self.stream_of("changelog file size");
                }
                self.i64("changelog size");
                self.i64("checkpointed size");
                self.text("state handle id");
                if tag == 13 {
                    self.text("changelog storage");
                }
            }
            tag => panic!("keyed state tag {tag}"),
        }
    }

    fn stream(&mut self) {
        self.stream_of("file size");
    }

    fn stream_of(&mut self, size: &'static str) {
        match self.u8("stream tag", Tag) {
            0 | 16 => {}
            1 => {
                self.text("label of inline bytes");
                let length = self.count("inline bytes");
                self.take("inline bytes", Value, length);
            }
            2 => {
                self.i64(size);
                self.text("absolute path");
            }
            6 => {
                self.text("relative path");
                self.i64(size);
            }
            15 => {
                self.i64("start of a segment");
                self.i64("size of a segment");
                self.i32("scope of a segment", Value);
                self.text("absolute path");
                self.text("logical file id");
            }
            tag => panic!("stream tag {tag}"),
        }
    }

    fn channel(&mut self) {
        let merged = self.version >= 6 && self.u8("channel tag", Tag) >= 3;
        self.i32("channel", Value);
        if merged {
            self.i64("channel size");
            self.stream();
            let length = self.count("channel offsets");
            self.take("merged channel offsets", Value, length);
            return;
        }
        self.take("channel", Value, 8);
        for _ in 0..self.count("channel offsets") {
            self.i64("channel offset");
        }
        self.i64("channel size");
        self.stream();
    }

    fn java_value(&mut self, handles: &mut usize) {
        match self.u8("Java type", Tag) {
            // Null, a reference, a string, an enum, an object.
            0x70 => {}
            0x71 => {
                self.take("Java reference", Value, 4);
            }
            0x74 => {
                *handles += 1;
                self.text("Java string");
            }
            0x7e => {
                self.java_class(handles);
                *handles += 1;
                self.java_value(handles);
            }
            0x73 => {
                let types = self.java_class(handles);
                *handles += 1;
                for kind in types {
                    match kind {
                        b'Z' => {
                            self.u8("Java flag", Value);
                        }
                        b'L' => self.java_value(handles),
                        _ => panic!("a field of type {kind}"),
                    }
                }
            }
            tag => panic!("Java type {tag:x}"),
        }
    }

    /// The types of the class's fields.
    fn java_class(&mut self, handles: &mut usize) -> Vec<u8> {
        match self.u8("Java type", Tag) {
            0x70 => Vec::new(),
            0x71 => {
                let number = self.i32("Java reference", Value) - 0x007e_0000;
                let number = usize::try_from(number).unwrap();
                let class = self.classes.iter().find(|(handle, _)| *handle == number);
                class.expect("a reference to a class").1.clone()
            }
            0x72 => {
                let own = *handles;
                *handles += 1;
                self.text("Java class");
                self.take("Java serial version", Value, 8);
                self.u8("Java class flags", Value);
                let mut types = Vec::new();
                let count = self.take("Java fields", Length, 2);
                for _ in 0..u16::from_be_bytes([count[0], count[1]]) {
                    let kind = self.u8("Java field type", Tag);
                    self.text("Java field");
                    if kind == b'L' {
                        self.java_value(handles);
                    }
                    types.push(kind);
                }
                self.u8("Java end of class", Tag);
                let above = self.java_class(handles);
                let types = [above, types].concat();
                self.classes.push((own, types.clone()));
                types
            }
            tag => panic!("Java class {tag:x}"),
        }
    }
}
