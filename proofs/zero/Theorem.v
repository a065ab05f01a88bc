(** * The theorem of the model `zero`

    [file] in Data.v is models/zero/model.onnx, byte by byte; [model_sha256] is its SHA-256. `make
    theorem-zero` writes Data.v, and compiles this file: the SHA-256 of [file] is computed here, its
    operators and weights are read from it here, and all bytes of all channels of its first
    convolution are tried. Data.v says nothing besides.

    Rests on Programs.v, Onnx.v and Sha256.v. *)

From Coq Require Import Reals List ZArith Arith Bool String.
From Lastbit Require Import Statement hash.Sha256 hash.Hexadecimal operations.Convolution.
From Lastbit Require Import zero.Absorb onnx.File onnx.Placement zero.Stem zero.Programs
  onnx.Onnx zero.Data.
Import ListNotations.
Open Scope R_scope.

(** The operators of the file, and where in it their weights stand. *)
Definition nodes : list node := Eval vm_compute in if_any (read file).

Theorem is_read : read file = Some nodes.
Proof. vm_cast_no_check (eq_refl (Some nodes)). Qed.

Theorem named : hexadecimal (sha256 file) = model_sha256.
Proof. vm_cast_no_check (eq_refl model_sha256). Qed.

Theorem is_sound : sound nodes = true.
Proof. vm_cast_no_check (eq_refl true). Qed.

Theorem is_absorbing : absorbing file nodes = true.
Proof. vm_cast_no_check (eq_refl true). Qed.

Theorem is_behind : behind nodes 2 = true.
Proof. vm_cast_no_check (eq_refl true). Qed.

Definition zero_network : network := network_of_file file nodes.

(** The tensor conv_stem. *)
Definition stem : list nat := tensor_units nodes 2.

(** 1. The file, and the network that it holds. 2. In all allowed executions, on images that differ
    in the last bit of one pixel, whose first convolution is stored in binary32, that convolution
    computes the same numbers, none of them 0. 3. So all answers of one program are the same data:
    the exact answer is 0. *)
(* map: the shipped zero, from the bytes of its file: Q = 0 for one program *)
Theorem zero :
  (hexadecimal (sha256 file) = model_sha256 /\ read file = Some nodes) /\
  (forall v v' q x x' p p', image v -> (q < pixels zero_network)%nat -> neighbours q v v' ->
     execution zero_network v x p -> execution zero_network v' x' p' -> stored nodes 2 x ->
     stored nodes 2 x' ->
     forall n, In n stem -> exists r, 0 < r /\ x n = Finite r /\ x' n = Finite r) /\
  (forall (datum : Type) (meaning : datum -> value) (a a' : run datum) v v' q,
     image v -> (q < pixels zero_network)%nat -> neighbours q v v' ->
     runs_on datum meaning zero_network v a -> runs_on datum meaning zero_network v' a' ->
     binary32_values datum meaning nodes 2 a a' -> deterministic datum zero_network a a' ->
     forall c, answers datum a c = answers datum a' c /\
               forall y y', meaning (answers datum a c) = Finite y ->
               meaning (answers datum a' c) = Finite y' ->
               Rabs (y' - y) <= 0).
Proof.
  split; [exact (conj named is_read)|split].
  - intros v v' q x x' p p' Hv _ N Hx Hx' St St' n Hn.
    exact (absorbed_same _ _ _ _ _ _ _ _ _ _ is_sound is_absorbing Hn Hv N Hx Hx' St St').
  - intros datum meaning a a' v v' q Hv _ N Hx Hx' B D c.
    assert (E := no_last_bit _ _ _ _ _ _ _ _ _ is_sound is_absorbing is_behind Hv N Hx Hx' B D c).
    split; [exact E|]. intros y y' Hy Hy'. rewrite E, Hy' in Hy. injection Hy as ->.
    rewrite Rminus_diag_eq, Rabs_R0 by reflexivity. apply Rle_refl.
Qed.

Check zero.
Print Assumptions zero.

(** The SHA-256; bytes of the file; pixels; units of the tensor conv_stem; operators; classes. *)
Eval vm_compute in model_sha256.
Eval vm_compute in (Sha256.size file, units_of (nth 0 (layout nodes) nowhere), List.length stem,
  List.length nodes,
  List.length (tensor_units nodes (Nat.pred (List.length nodes)))).
