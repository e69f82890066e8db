package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
)

// StorageClass is the class of the volumes that a made cluster has, and its default one. Its volumes are folders of
// one node (local volumes), bound when the first pod is scheduled, as most databases' disks are: a pod with a claim
// stays with its node.
const StorageClass = "lab"

// volumesPerNode is how many claims a node can take before RecycleVolumes.
const volumesPerNode = 12

// volumeScript empties or makes a volume's folder. Everybody may write, for pods without an fsGroup.
const volumeScript = `rm -rf "$1"; mkdir -p "$1"; chmod 0777 "$1"`

const classManifest = `apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata:
  name: ` + StorageClass + `
  annotations: {storageclass.kubernetes.io/is-default-class: "true"}
provisioner: kubernetes.io/no-provisioner
volumeBindingMode: WaitForFirstConsumer
reclaimPolicy: Retain
`

const volumeManifest = `---
apiVersion: v1
kind: PersistentVolume
metadata: {name: %[1]s}
spec:
  storageClassName: ` + StorageClass + `
  capacity: {storage: 2Gi}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  local: {path: %[2]s}
  nodeAffinity:
    required:
      nodeSelectorTerms:
        - matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [%[3]s]}]
`

// makeVolumes makes the class and every node's volumes.
func (c *Cluster) makeVolumes(ctx context.Context) error {
	var manifests strings.Builder
	manifests.WriteString(classManifest)
	for _, node := range c.nodes {
		for i := range volumesPerNode {
			name := fmt.Sprintf("%s-%02d", node, i+1)
			path := c.backend.volumeRoot() + "/" + name
			if err := c.backend.volume(ctx, node, path); err != nil {
				return fmt.Errorf("volume %s: %w", name, err)
			}
			_, _ = fmt.Fprintf(&manifests, volumeManifest, name, path, node)
		}
	}
	return c.Apply(ctx, manifests.String())
}

// RecycleVolumes empties the volumes whose claims have been deleted and offers them again. A volume with a claim stays
// as it is. Existing clusters have a provisioner of their own, and this does nothing.
func (c *Cluster) RecycleVolumes(ctx context.Context) error {
	if c.kind == Existing {
		return nil
	}
	out, err := c.Kubectl(ctx, "get", "persistentvolumes", "-o", "json")
	if err != nil {
		return err
	}
	var list struct {
		Items []struct {
			Metadata struct{ Name string }
			Spec     struct {
				StorageClassName string
				Local            struct{ Path string }
			}
			Status struct{ Phase string }
		}
	}
	if err := json.Unmarshal(out, &list); err != nil {
		return err
	}
	for _, volume := range list.Items {
		if volume.Spec.StorageClassName != StorageClass || volume.Status.Phase != "Released" {
			continue
		}
		name := volume.Metadata.Name
		node := name[:strings.LastIndex(name, "-")]
		if err := c.backend.volume(ctx, node, volume.Spec.Local.Path); err != nil {
			return fmt.Errorf("volume %s: %w", name, err)
		}
		if _, err := c.Kubectl(ctx, "patch", "persistentvolume", name, "--type=merge", "-p", `{"spec":{"claimRef":null}}`); err != nil {
			return err
		}
	}
	return nil
}
