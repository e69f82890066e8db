// Package keep reads and writes JSON without losing what a newer version has put
// there: a struct with a field of the type [Rest] keeps the members of its object
// that this version does not know, and [Marshal] writes them again behind the
// ones it knows. They belong to the object and live as long as it does: a copy of
// an entry has them, an entry that is dropped takes them along.
//
// It is for what is read, changed and written again: the replicated record, the
// views, and the files in the data directory. Without anything unknown the bytes
// are those of encoding/json, and the cost is that of one strict decoding.
package keep
