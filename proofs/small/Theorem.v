(** * The theorem of a small network with every operator

    [layers] and [hints] in Data.v are literals that `make theorem-small` writes from an ONNX file.
    The checker derives a certificate from the hints, inside Coq, and decides it; [check_sound] does
    the rest. Nothing about this network is believed but that [layers] is the file. *)

From Coq Require Import Reals Lra ZArith List.
From Lastbit Require Import Statement checker.Program checker.Numbers checker.Annotation
  checker.Sound.
From Lastbit Require Import checker.Expansion small.Data.
Open Scope R_scope.

Definition certificate : cert := Eval vm_compute in derive (expand layers) hints.

Theorem accepted : check (expand layers) certificate = true.
Proof. vm_cast_no_check (eq_refl true). Qed.

(** For all images that differ in the last bit of one pixel, all allowed executions, every class. *)
Theorem small_bound : always_finite (network_of (expand layers)) /\
  last_bit_bound (network_of (expand layers)) (real (c_upper certificate)).
Proof. exact (check_sound _ _ accepted). Qed.

(** The same with the number written out. *)
(* map: a network of 159 units with every operator: U <= 0.000525 *)
Theorem small_number : always_finite (network_of (expand layers)) /\
  last_bit_bound (network_of (expand layers)) 0.000525.
Proof.
  destruct small_bound as [F B]. split; [exact F|].
  intros v v' q x x' p p' c y y' Hv Hq Hn Hx Hx' Hc Ey Ey'.
  apply Rle_trans with (1 := B v v' q x x' p p' c y y' Hv Hq Hn Hx Hx' Hc Ey Ey').
  assert (H : Z.leb (c_upper certificate * 1000000) (525 * one) = true)
    by (vm_cast_no_check (eq_refl true)).
  apply Z.leb_le, IZR_le in H. rewrite !mult_IZR, one_is in H. unfold real. lra.
Qed.

Check small_number.
Print Assumptions small_number.

(** Units and pixels; U and R, rounded up, in units of 10^-12. *)
Eval vm_compute in (length (cunits (expand layers)), cpixels (expand layers)).
Eval vm_compute
  in (ceil_div (c_upper certificate * 10 ^ 12)%Z one,
    ceil_div (c_bound certificate * 10 ^ 12)%Z one).
