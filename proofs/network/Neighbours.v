(** * Images that differ in the last bit of one byte

    - [neighbour_image]: the second of them is an image as well;
    - [neighbour_half]: half of each byte, rounded down, is the same in both; [last_bit_step]:
      the one byte differs by 1.

    Rests on Statement.v. *)

From Coq Require Import Reals Lia ZArith.
From Lastbit Require Import Statement.
Open Scope Z_scope.

Lemma last_bit_half a : Z.lxor a 1 / 2 = a / 2.
Proof.
  change 2 with (2 ^ 1). rewrite <- !Z.shiftr_div_pow2 by lia. rewrite Z.shiftr_lxor.
  apply Z.lxor_0_r.
Qed.

Lemma last_bit_pair a :
  2 * (a / 2) <= a <= 2 * (a / 2) + 1 /\ 2 * (a / 2) <= Z.lxor a 1 <= 2 * (a / 2) + 1.
Proof.
  generalize (Z.div_mod a 2 ltac:(lia)) (Z.div_mod (Z.lxor a 1) 2 ltac:(lia))
    (Z.mod_pos_bound a 2 ltac:(lia)) (Z.mod_pos_bound (Z.lxor a 1) 2 ltac:(lia)).
  rewrite last_bit_half. lia.
Qed.

Lemma last_bit_range a : 0 <= a <= 255 -> 0 <= Z.lxor a 1 <= 255.
Proof. generalize (last_bit_pair a). lia. Qed.

Lemma last_bit_step a : Rabs (IZR (Z.lxor a 1) - IZR a) = 1%R.
Proof.
  assert (N : Z.lxor a 1 <> a).
  { intros E. apply (f_equal (Z.lxor a)) in E.
    rewrite <- Z.lxor_assoc, Z.lxor_nilpotent, Z.lxor_0_l in E. discriminate. }
  rewrite <- minus_IZR, <- abs_IZR. f_equal. generalize (last_bit_pair a). lia.
Qed.

(* map: what differs from an image in one last bit is an image *)
Lemma neighbour_image q v v' : image v -> neighbours q v v' -> image v'.
Proof.
  intros Hv [E N] r. destruct (Nat.eq_dec r q) as [->|D].
  - rewrite E. now apply last_bit_range.
  - rewrite N by exact D. apply Hv.
Qed.

Lemma neighbour_half q v v' r : neighbours q v v' -> v' r / 2 = v r / 2.
Proof.
  intros [E N]. destruct (Nat.eq_dec r q) as [->|D]; [rewrite E; apply last_bit_half|].
  now rewrite N by exact D.
Qed.
