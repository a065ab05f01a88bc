(** * The theorem of the model `tight`

    [file] in Data.v is models/tight/model.onnx, byte by byte; [model_sha256] is its SHA-256;
    [flags] say which forms are kept, [boundary] where the first layers end, [ratio] how much of the
    range of a base one pixel may be. `make theorem` writes Data.v, and compiles this file: the
    SHA-256 of [file] is computed here, its 191 operators and their weights are read from it here,
    and the bound is found here, forwards and backwards through its 302,426 units. Data.v says
    nothing besides, and of these three nothing is believed.

    Rests on Decided.v, Onnx.v and Sha256.v. *)

From Coq Require Import Reals Lra Lia List ZArith String.
From Lastbit Require Import Statement hash.Sha256 hash.Hexadecimal operations.Convolution.
From Lastbit Require Import checker.Program checker.Numbers onnx.File onnx.Placement
  onnx.Onnx onnx.Units.
From Lastbit Require Import tight.Decided tight.Data.
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

(** What a difference of two logits, and what a probability may change by, in units of 2^-100. *)
Definition bound : Z := 13405 * one / 10000.
Definition upper : Z := 3232 * one / 10000.

Theorem is_bounded : within file nodes flags ratio boundary bound = true.
Proof. vm_cast_no_check (eq_refl true). Qed.

Theorem is_below : (upper_of (Z.of_nat (List.length (logit_keys nodes))) bound <=? upper)%Z = true.
Proof. vm_cast_no_check (eq_refl true). Qed.

Definition tight_network : network := network_of_file file nodes.

(** The file, and the network that it holds: every value of every allowed execution is finite, and
    the last bit of no pixel of any image changes a probability by more than this. *)
(* map: the shipped tight, from the bytes of its file: U <= 0.3232 for any two executions *)
Theorem tight :
  (hexadecimal (sha256 file) = model_sha256 /\ read file = Some nodes) /\
  always_finite tight_network /\ last_bit_bound tight_network 0.3232.
Proof.
  split; [exact (conj named is_read)|].
  destruct (decided file nodes flags ratio boundary bound upper is_sound is_bounded) as [F B];
    [now apply Z.leb_le|apply Z.leb_le; exact is_below|].
  split; [exact F|]. intros v v' q x x' p p' c y y' Hv Hq Hn Hx Hx' Hc Ey Ey'.
  apply Rle_trans with (1 := B v v' q x x' p p' c y y' Hv Hq Hn Hx Hx' Hc Ey Ey').
  assert (H := Z.mul_div_le (3232 * one) 10000 eq_refl). fold upper in H. apply IZR_le in H.
  rewrite !mult_IZR, one_is in H. unfold real. lra.
Qed.

Check tight.
Print Assumptions tight.

(** The SHA-256; bytes of the file, pixels, units, operators, classes. *)
Eval vm_compute in model_sha256.
Definition units_held : N :=
  fold_right N.add 0%N (map (fun t => N.of_nat (units_of t)) (layout nodes)).
Eval vm_compute in (Sha256.size file, image_pixels nodes, units_held, List.length nodes,
  List.length (logit_keys nodes)).
