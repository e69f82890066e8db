// Package kube tells which pods of a namespace are going: that were deleted, by a
// drain of their node, by a rolling update or by hand, and whose containers have
// not ended yet.
//
// It speaks to the API server with a list and a watch of metadata alone
// (PartialObjectMetadata), so that it needs neither a client library nor the
// pods' contents. What was measured against kube-apiserver 1.34:
//
//   - a deleted pod comes as MODIFIED with deletionTimestamp, which is the moment
//     of the deletion plus the grace period by the API server's clock, in whole
//     seconds; as DELETED when it is gone; and a pod of the same name that comes
//     after it has another uid;
//   - a forced deletion shortens the deletionTimestamp by another MODIFIED;
//   - a bookmark comes about once a minute; nothing else is sent at rest;
//   - a resourceVersion that is too old is no status 410 of the response: the
//     response is 200 and its first event is an ERROR with code 410.
package kube
