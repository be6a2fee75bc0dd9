// Two programs of ours that run inside the cluster's namespaces; they need nothing but Go's own library.
module lowtide.invalid/inside

go 1.25.0
