From Coq Require Import List Uint63 NArith.
From Lastbit Require Import operations.Convolution zero.File zero.Placement zero.Onnx tight.Data.
Import ListNotations.
Definition if_any (found : option (list node)) : list node := match found with Some l => l | None => [] end.
Definition nodes : list node := Eval vm_compute in if_any (read file).
Time Eval vm_compute in (sound nodes).
Time Eval vm_compute in length nodes.
Print nodes.
