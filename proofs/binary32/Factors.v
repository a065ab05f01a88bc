(** * The factors of a term: their product, what it costs, and how large it may be

    - [cost fs]: the roundings that a product with the factors [fs] may have: none for a power of
      two, one for a multiplication, two for a division;
    - [room fs]: no product of some of the factors is larger.

    Rests on Statement.v. Terms.v goes on from here. *)

From Flocq.Core Require Import Raux Zaux.
From Coq Require Import Reals Lra Lia List Permutation.
From Lastbit Require Import Statement.
Import ListNotations.
Open Scope R_scope.

(** Products that are rounded: those with a power of two are not. *)
Definition scales (w : R) : bool := if Req_EM_T (Rabs w) (bpow radix2 (mag radix2 w - 1)) then
  true else false.

Lemma scales_power w : scales w = true -> power_of_two w.
Proof.
  unfold scales. destruct Req_EM_T as [E|]; [intros _|easy]. exists (mag radix2 w - 1)%Z.
  rewrite E. now rewrite bpow_powerRZ.
Qed.

Lemma power_scales w e : Rabs w = bpow radix2 e -> scales w = true.
Proof.
  intros E. unfold scales. rewrite <- mag_abs, E, mag_bpow. replace (e + 1 - 1)%Z with e by ring.
  destruct Req_EM_T; [reflexivity|congruence].
Qed.

Definition cost_of (f : factor) : nat :=
  match f with Times c => if scales c then 0 else 1 | Over c => if scales c then 0 else 2 end.
Definition cost (fs : list factor) : nat := list_sum (map cost_of fs).

Definition room (fs : list factor) : R :=
  fold_right Rmult 1 (map (fun f => Rmax 1 (Rabs (number f))) fs).

Lemma constant_app fs gs : constant (fs ++ gs) = constant fs * constant gs.
Proof. unfold constant. induction fs as [|f fs IH]; simpl; [ring|]. rewrite IH. ring. Qed.

Lemma cost_app fs gs : cost (fs ++ gs) = (cost fs + cost gs)%nat.
Proof. unfold cost. now rewrite map_app, list_sum_app. Qed.

Lemma room_app fs gs : room (fs ++ gs) = room fs * room gs.
Proof. unfold room. induction fs as [|f fs IH]; simpl; [ring|]. rewrite IH. ring. Qed.

Lemma room_1 fs : 1 <= room fs.
Proof.
  unfold room. induction fs as [|f fs IH]; simpl; [lra|]. rewrite <- (Rmult_1_l 1) at 1.
  apply Rmult_le_compat; [lra|lra|apply Rmax_l|exact IH].
Qed.

Lemma constant_room fs : Rabs (constant fs) <= room fs.
Proof.
  unfold constant, room. induction fs as [|f fs IH]; simpl; [rewrite Rabs_R1; lra|].
  rewrite Rabs_mult.
  apply Rmult_le_compat; [apply Rabs_pos|apply Rabs_pos|apply Rmax_r|exact IH].
Qed.

Lemma factors_perm fs gs : Permutation fs gs ->
  constant fs = constant gs /\ cost fs = cost gs /\ room fs = room gs /\ length fs = length gs.
Proof.
  unfold constant, room.
  induction 1 as [|f fs gs _ (I1 & I2 & I3 & I4)|f g fs
    |fs gs hs _ (I1 & I2 & I3 & I4) _ (J1 & J2 & J3 & J4)].
  - now repeat split.
  - unfold cost in *. cbn [map fold_right length list_sum]. unfold list_sum in *. cbn [fold_right].
    rewrite I1, I2, I3, I4. now repeat split.
  - unfold cost. simpl. split; [ring|]. split; [lia|]. split; [ring|reflexivity].
  - repeat split; congruence.
Qed.
