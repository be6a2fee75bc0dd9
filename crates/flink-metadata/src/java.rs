//! As much of Java's object serialization as Flink's properties need: objects, class descriptions,
//! enums, strings, back references and null. Anything else is refused.
//!
//! The protocol is that of the *Java Object Serialization Specification*, chapter 6. Every object,
//! class, enum and string gets the next handle number, and later ones refer to it by that number.
//! Values here are indices into the list of what was read, so that references cost nothing and
//! cycles do no harm.

use crate::error::{ParseError, ParseErrorKind};
use crate::reader::Reader;

pub(crate) const STREAM_HEADER: [u8; 4] = [0xac, 0xed, 0x00, 0x05];
pub(crate) const TC_NULL: u8 = 0x70;
pub(crate) const TC_REFERENCE: u8 = 0x71;
pub(crate) const TC_CLASSDESC: u8 = 0x72;
pub(crate) const TC_OBJECT: u8 = 0x73;
pub(crate) const TC_STRING: u8 = 0x74;
pub(crate) const TC_ENDBLOCKDATA: u8 = 0x78;
pub(crate) const TC_ENUM: u8 = 0x7e;
/// The number of the first handle.
pub(crate) const BASE_HANDLE: u32 = 0x7e_0000;
pub(crate) const SC_SERIALIZABLE: u8 = 0x02;
pub(crate) const SC_ENUM: u8 = 0x10;

/// A value of a field.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    /// A primitive that nothing here looks at.
    Other,
    /// The object with this number.
    Handle(usize),
}

/// Everything that was read, by handle number.
pub(crate) struct Objects<'a>(Vec<Node<'a>>);

enum Node<'a> {
    Class(Box<Class<'a>>),
    /// A class whose description is still being read. Nothing may refer to it, so that no class is
    /// its own superclass.
    UnfinishedClass,
    String(String),
    Enum {
        class: Value,
        constant: Value,
    },
    Object {
        class: usize,
        fields: Vec<(&'a [u8], Value)>,
    },
}

struct Class<'a> {
    name: String,
    serial_version: i64,
    flags: u8,
    fields: Vec<Field<'a>>,
    superclass: Value,
}

struct Field<'a> {
    kind: u8,
    name: &'a [u8],
    /// The name of the class of an object, as a string.
    class: Value,
}

/// A class as its description must be: a difference is one that Java refuses, too.
pub(crate) struct Known {
    pub(crate) name: &'static str,
    pub(crate) serial_version: i64,
    pub(crate) flags: u8,
    /// Objects among the fields and their classes, in Java's notation.
    pub(crate) objects: &'static [(&'static str, &'static str)],
    pub(crate) superclass: Option<&'static str>,
}

/// Reads one object from its stream header on.
pub(crate) fn read<'a>(reader: &mut Reader<'a>) -> Result<(Objects<'a>, Value), ParseError> {
    if reader.clone().array()? != STREAM_HEADER {
        return Err(bad(reader, "no Java object stream"));
    }
    reader.bytes(STREAM_HEADER.len())?;
    let mut objects = Objects(Vec::new());
    let root = objects.read_value(reader)?;
    Ok((objects, root))
}

fn bad(reader: &Reader<'_>, reason: &'static str) -> ParseError {
    reader.error(ParseErrorKind::BadProperties(reason))
}

impl<'a> Objects<'a> {
    fn read_value(&mut self, reader: &mut Reader<'a>) -> Result<Value, ParseError> {
        reader.deeper(|reader| {
            let unknown = bad(reader, "a Java type that Flink does not write here");
            match reader.u8()? {
                TC_NULL => Ok(Value::Null),
                TC_REFERENCE => self.read_reference(reader),
                TC_STRING => {
                    self.0.push(Node::String(reader.string()?));
                    Ok(Value::Handle(self.0.len() - 1))
                }
                TC_ENUM => self.read_enum(reader),
                TC_OBJECT => self.read_object(reader),
                _ => Err(unknown),
            }
        })
    }

    fn read_reference(&self, reader: &mut Reader<'a>) -> Result<Value, ParseError> {
        let unknown = bad(reader, "a reference to nothing");
        let handle = reader.u32_bits()?;
        handle
            .checked_sub(BASE_HANDLE)
            .and_then(|number| usize::try_from(number).ok())
            .filter(|number| *number < self.0.len())
            .map(Value::Handle)
            .ok_or(unknown)
    }

    fn read_enum(&mut self, reader: &mut Reader<'a>) -> Result<Value, ParseError> {
        let class = self.read_class(reader)?;
        let number = self.0.len();
        self.0.push(Node::Enum {
            class,
            constant: Value::Null,
        });
        let constant = self.read_value(reader)?;
        self.0[number] = Node::Enum { class, constant };
        Ok(Value::Handle(number))
    }

    fn read_object(&mut self, reader: &mut Reader<'a>) -> Result<Value, ParseError> {
        let nameless = bad(reader, "an object without a class");
        let Value::Handle(class) = self.read_class(reader)? else {
            return Err(nameless);
        };
        let number = self.0.len();
        self.0.push(Node::Object {
            class,
            fields: Vec::new(),
        });
        let mut fields = Vec::new();
        for (kind, name) in self.layout(class) {
            fields.push((name, self.read_field(reader, kind)?));
        }
        self.0[number] = Node::Object { class, fields };
        Ok(Value::Handle(number))
    }

    /// The fields of an object in the order of the stream: those of the topmost class first.
    fn layout(&self, class: usize) -> Vec<(u8, &'a [u8])> {
        let mut chain = Vec::new();
        let mut next = Value::Handle(class);
        while let Value::Handle(number) = next {
            let Some(Node::Class(class)) = self.0.get(number) else {
                break;
            };
            chain.push(class);
            next = class.superclass;
        }
        chain
            .iter()
            .rev()
            .flat_map(|class| class.fields.iter().map(|field| (field.kind, field.name)))
            .collect()
    }

    fn read_field(&mut self, reader: &mut Reader<'a>, kind: u8) -> Result<Value, ParseError> {
        let bytes = match kind {
            b'L' => return self.read_value(reader),
            b'Z' => return reader.bool().map(Value::Bool),
            b'B' => 1,
            b'C' | b'S' => 2,
            b'I' | b'F' => 4,
            b'J' | b'D' => 8,
            _ => {
                return Err(bad(
                    reader,
                    "a field of a type that Flink does not write here",
                ));
            }
        };
        reader.bytes(bytes).map(|_| Value::Other)
    }

    /// Reads a class description: new, referred to, or null (no superclass).
    fn read_class(&mut self, reader: &mut Reader<'a>) -> Result<Value, ParseError> {
        reader.deeper(|reader| {
            let unknown = bad(reader, "no class description where one must be");
            match reader.u8()? {
                TC_NULL => Ok(Value::Null),
                TC_REFERENCE => match self.read_reference(reader)? {
                    Value::Handle(number) if matches!(self.0[number], Node::Class(_)) => {
                        Ok(Value::Handle(number))
                    }
                    _ => Err(unknown),
                },
                TC_CLASSDESC => self.read_new_class(reader),
                _ => Err(unknown),
            }
        })
    }

    fn read_new_class(&mut self, reader: &mut Reader<'a>) -> Result<Value, ParseError> {
        let name = reader.string()?;
        let serial_version = reader.i64()?;
        let number = self.0.len();
        self.0.push(Node::UnfinishedClass);
        let custom = bad(reader, "a class with a serialization of its own");
        let flags = reader.u8()?;
        if flags & !SC_ENUM != SC_SERIALIZABLE {
            return Err(custom);
        }
        let fields = self.read_fields(reader)?;
        let annotated = bad(reader, "an annotated class");
        if reader.u8()? != TC_ENDBLOCKDATA {
            return Err(annotated);
        }
        let superclass = self.read_class(reader)?;
        self.0[number] = Node::Class(Box::new(Class {
            name,
            serial_version,
            flags,
            fields,
            superclass,
        }));
        Ok(Value::Handle(number))
    }

    fn read_fields(&mut self, reader: &mut Reader<'a>) -> Result<Vec<Field<'a>>, ParseError> {
        let mut fields = Vec::new();
        for _ in 0..reader.u16()? {
            let kind = reader.u8()?;
            let length = usize::from(reader.u16()?);
            let name = reader.bytes(length)?;
            let class = if matches!(kind, b'L' | b'[') {
                self.read_value(reader)?
            } else {
                Value::Null
            };
            fields.push(Field { kind, name, class });
        }
        Ok(fields)
    }

    /// Whether every class is one of those, and described as it is there.
    pub(crate) fn are_known(&self, known: &[Known]) -> bool {
        self.0.iter().all(|node| match node {
            Node::Class(class) => known
                .iter()
                .find(|known| known.name == class.name)
                .is_some_and(|known| self.is_like(class, known)),
            _ => true,
        })
    }

    fn is_like(&self, class: &Class<'_>, known: &Known) -> bool {
        let superclass = self.node(class.superclass).map(|node| match node {
            Node::Class(class) => class.name.as_str(),
            _ => "",
        });
        let are_alike = class.fields.iter().all(|field| {
            let wanted = known.objects.iter();
            let mut wanted = wanted.filter(|(name, _)| name.as_bytes() == field.name);
            wanted.all(|(_, wanted)| self.string(field.class) == Some(*wanted))
        });
        class.serial_version == known.serial_version
            && class.flags == known.flags
            && superclass == known.superclass
            && are_alike
    }

    fn node(&self, value: Value) -> Option<&Node<'a>> {
        match value {
            Value::Handle(number) => self.0.get(number),
            _ => None,
        }
    }

    /// Name of the class of an object.
    pub(crate) fn class_of(&self, object: Value) -> Option<&str> {
        let Node::Object { class, .. } = self.node(object)? else {
            return None;
        };
        match self.0.get(*class)? {
            Node::Class(class) => Some(&class.name),
            _ => None,
        }
    }

    pub(crate) fn field(&self, object: Value, name: &str) -> Option<Value> {
        let Node::Object { fields, .. } = self.node(object)? else {
            return None;
        };
        fields
            .iter()
            .find(|(field, _)| *field == name.as_bytes())
            .map(|(_, value)| *value)
    }

    pub(crate) fn bool_field(&self, object: Value, name: &str) -> Option<bool> {
        match self.field(object, name)? {
            Value::Bool(flag) => Some(flag),
            _ => None,
        }
    }

    pub(crate) fn string_field(&self, object: Value, name: &str) -> Option<&str> {
        self.string(self.field(object, name)?)
    }

    /// Name of the constant in a field whose type is this enum.
    pub(crate) fn enum_field(&self, object: Value, name: &str, class: &str) -> Option<&str> {
        let Node::Enum {
            class: found,
            constant,
        } = self.node(self.field(object, name)?)?
        else {
            return None;
        };
        match self.node(*found)? {
            Node::Class(found) if found.name == class => self.string(*constant),
            _ => None,
        }
    }

    fn string(&self, value: Value) -> Option<&str> {
        match self.node(value)? {
            Node::String(text) => Some(text),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// A class description up to its superclass: serializable, with one field, a `long` named `n`.
    fn class(name: u8) -> Vec<u8> {
        let mut bytes = vec![TC_CLASSDESC, 0, 1, name];
        bytes.extend([0; 8]);
        bytes.extend([SC_SERIALIZABLE, 0, 1, b'J', 0, 1, b'n', TC_ENDBLOCKDATA]);
        bytes
    }

    /// See the same test of the handles. An empty string takes three bytes, as the value of a field
    /// that is in a layout, too.
    #[test]
    fn no_value_takes_a_hundred_times_its_bytes() {
        let bytes = size_of::<Node>() + size_of::<(&[u8], Value)>() + size_of::<(u8, &[u8])>();
        assert!(3 * bytes <= 3 * 100, "{bytes}");
    }

    fn reference(number: u8) -> [u8; 5] {
        [TC_REFERENCE, 0, 0x7e, 0, number]
    }

    fn read_all(parts: &[&[u8]]) -> Result<usize, &'static str> {
        let bytes = [&STREAM_HEADER[..], &parts.concat()].concat();
        let mut reader = Reader::new(&bytes);
        match read(&mut reader) {
            Ok(_) => Ok(reader.left()),
            Err(ParseError {
                kind: ParseErrorKind::BadProperties(reason),
                ..
            }) => Err(reason),
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn fields_of_the_superclass_come_first() {
        let mut superclass = class(b'B');
        superclass[15] = b'Z';
        superclass[18] = b's';
        let object = [&[TC_OBJECT][..], &class(b'A'), &superclass, &[TC_NULL]].concat();
        let bytes = [&STREAM_HEADER[..], &object, &[1], &[0; 8]].concat();
        let mut reader = Reader::new(&bytes);
        let (objects, root) = read(&mut reader).unwrap();
        assert_eq!(reader.left(), 0);
        assert_eq!(objects.class_of(root), Some("A"));
        assert_eq!(objects.bool_field(root, "s"), Some(true));
        assert_eq!(objects.field(root, "n"), Some(Value::Other));
    }

    #[test]
    fn a_class_cannot_be_its_own_superclass() {
        let parts = [&[TC_OBJECT][..], &class(b'A'), &reference(0), &[0; 64]];
        assert_eq!(
            read_all(&parts),
            Err("no class description where one must be")
        );
        let parts = [
            &[TC_OBJECT][..],
            &class(b'A'),
            &class(b'B'),
            &reference(0),
            &[0; 64],
        ];
        assert_eq!(
            read_all(&parts),
            Err("no class description where one must be")
        );
    }

    #[test]
    fn a_reference_to_what_was_not_read_is_refused() {
        assert_eq!(read_all(&[&reference(0)]), Err("a reference to nothing"));
    }

    #[test]
    fn what_flink_does_not_write_is_refused() {
        const BLOCK_DATA: u8 = 0x77;
        const SC_WRITE_METHOD: u8 = 0x01;
        let unknown = "a Java type that Flink does not write here";
        assert_eq!(read_all(&[&[BLOCK_DATA, 1, 0]]), Err(unknown));
        let mut custom = class(b'A');
        custom[12] |= SC_WRITE_METHOD;
        let parts = [&[TC_OBJECT][..], &custom, &[TC_NULL], &[0; 8]];
        assert_eq!(
            read_all(&parts),
            Err("a class with a serialization of its own")
        );
        assert_eq!(
            read_all(&[&[TC_OBJECT, TC_NULL]]),
            Err("an object without a class")
        );
        let mut bytes = STREAM_HEADER;
        bytes[3] = 4;
        let error = read(&mut Reader::new(&bytes)).err().unwrap();
        assert_eq!(
            error.kind,
            ParseErrorKind::BadProperties("no Java object stream")
        );
    }

    #[test]
    fn objects_inside_objects_end_somewhere() {
        // Each field holds an object of the same class, whose field holds another.
        let mut first = vec![TC_OBJECT, TC_CLASSDESC, 0, 1, b'A'];
        first.extend([0; 8]);
        first.extend([SC_SERIALIZABLE, 0, 1, b'L', 0, 1, b'n', TC_STRING, 0, 0]);
        first.extend([TC_ENDBLOCKDATA, TC_NULL]);
        let again = [&[TC_OBJECT][..], &reference(0)].concat().repeat(1000);
        let bytes = [&STREAM_HEADER[..], &first, &again].concat();
        let error = read(&mut Reader::new(&bytes)).err().unwrap();
        assert_eq!(
            error.kind,
            ParseErrorKind::TooDeep {
                max: crate::MAX_DEPTH
            }
        );
    }
}
