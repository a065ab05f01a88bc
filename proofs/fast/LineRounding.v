(** * Roundings of lines, entry by entry

    A line is divided by a power of two, each entry to the nearest, so that it stays within machine
    integers.

    - [rounded_ok]: no entry grows;
    - [rounded_error]: the entries are together off by half a unit each at most.

    Rests on LineSums.v and Totals.v. *)

From Coq Require Import Reals Lra Lia Psatz ZArith Uint63.
From Coq Require Sint63.
From Lastbit Require Import Totals fast.Lines fast.LineSums.
Open Scope Z_scope.

Section Rounding.
Variable e : int.
Hypothesis He : plain e < 62.
Notation half := ((1 << e) >> 1)%uint63.
Notation bias := (limit_sum + half)%uint63.
Notation back := (limit_sum >> e)%uint63.
Notation unit := (2 ^ plain e).

Lemma unit_pos : 0 < unit.
Proof. apply Z.pow_pos_nonneg; [lia|apply plain_range]. Qed.

Lemma half_is : plain half = unit / 2.
Proof.
  assert (R := plain_range e). rewrite Uint63.lsr_spec, Uint63.lsl_spec. change (plain 1) with 1.
  rewrite Z.mul_1_l, Z.mod_small; [reflexivity|].
  split; [apply Z.lt_le_incl, unit_pos|]. change wB with (2 ^ 63). apply Z.pow_lt_mono_r; lia.
Qed.

Lemma rounded_number v : Z.abs (signed v) + plain half < 2 ^ 62 ->
  signed (((v + bias) >> e) - back)%uint63 = (signed v + unit / 2) / unit.
Proof.
  intros H. rewrite half_is in H. assert (U := unit_pos). assert (R := plain_range e).
  assert (D : 2 ^ 62 = 2 ^ (62 - plain e) * unit) by (rewrite <- Z.pow_add_r by lia; f_equal; lia).
  assert (D' : 2 ^ 62 / unit = 2 ^ (62 - plain e)) by (rewrite D; apply Z.div_mul; lia).
  assert (Hp : 0 <= unit / 2) by (apply Z.div_pos; lia).
  apply signed_is.
  - split; [apply Z.div_le_lower_bound|apply Z.div_lt_upper_bound]; nia.
  - rewrite Uint63.sub_spec, !Uint63.lsr_spec, Uint63.add_assoc.
    rewrite plain_add, signed_bias, half_is by (rewrite signed_bias, half_is; lia).
    change (plain limit_sum) with (2 ^ 62). change wB with (2 ^ 63). f_equal.
    replace (signed v + 2 ^ 62 + unit / 2) with (signed v + unit / 2 + 2 ^ (62 - plain e) * unit)
      by lia.
    rewrite D', Z.div_add by lia. lia.
Qed.

Lemma rounded_close x : 2 * Z.abs ((x + unit / 2) / unit * unit - x) <= unit.
Proof.
  assert (U := unit_pos). assert (A := Z.div_mod (x + unit / 2) unit ltac:(lia)).
  assert (A' := Z.mod_pos_bound (x + unit / 2) unit U).
  assert (T := Z.div_mod unit 2 ltac:(lia)). assert (T' := Z.mod_pos_bound unit 2 ltac:(lia)).
  destruct (Z.eq_dec (plain e) 0) as [Z0|N0].
  - rewrite Z0. change (2 ^ 0) with 1. change (1 / 2) with 0. rewrite Z.div_1_r. lia.
  - assert (unit mod 2 = 0).
    { replace (plain e) with (Z.succ (plain e - 1)) by lia.
      rewrite Z.pow_succ_r, Z.mul_comm by (generalize (plain_range e);
    lia). now apply Z_mod_mult. }
    lia.
Qed.

Lemma rounded_less x : Z.abs ((x + unit / 2) / unit) <= Z.abs x.
Proof.
  assert (U := unit_pos). assert (C := rounded_close x). set (q := (x + unit / 2) / unit) in *.
  destruct (Z.eq_dec unit 1) as [E|E]; [rewrite E in C; lia|].
  destruct (Z.eq_dec x 0) as [->|Nx]; [|nia].
  unfold q. rewrite Z.add_0_l, Z.div_small; [lia|].
  split; [apply Z.div_pos; lia|apply Z.div_lt; lia].
Qed.

Lemma rounded_ok l : whole l + plain half < 2 ^ 62 -> let r := rounded bias back e l in
  whole r <= whole l /\ entries r <= entries l /\ forall k, below k l -> below k r.
Proof.
  induction l as [|g v l IH]; [easy|]. rewrite whole_cons. intros H. cbv zeta in *.
  assert (P := norm_pos all l). destruct IH as (W & N & B); [lia|]. cbn [rounded].
  destruct (v =? 0)%uint63.
  - cbn [entries]. split; [lia|]. split; [lia|]. intros k [_ K]. now apply B.
  - rewrite whole_cons, rounded_number by lia. cbn [entries]. generalize (rounded_less (signed v)).
    split; [lia|]. split;
    [lia|].
    intros k [K K']. split; [exact K|now apply B].
Qed.

Open Scope R_scope.

Lemma over_key n (h : int) x : 0 <= x ->
  over n (fun g => if (Z.of_nat g =? plain h)%Z then x else 0) <= x.
Proof.
  intros Hx. assert (R := plain_range h).
  destruct (Nat.lt_ge_cases (Z.to_nat (plain h)) n) as [H|H].
  - rewrite (over_one n (Z.to_nat (plain h))); [rewrite Z2Nat.id, Z.eqb_refl; [lra|lia]|exact H|].
    intros j _ N. destruct (Z.eqb_spec (Z.of_nat j) (plain h)); [lia|reflexivity].
  - rewrite (over_cut n 0); [unfold over; simpl; lra|lia|].
    intros j Hj. destruct (Z.eqb_spec (Z.of_nat j) (plain h)); [lia|reflexivity].
Qed.

Lemma rounded_error n l : (whole l + plain half < 2 ^ 62)%Z -> let r := rounded bias back e l in
  over n (fun g => Rabs (IZR (entry_sum r g) - IZR (entry_sum l g) / IZR unit)) <=
  IZR (entries r) / 2.
Proof.
  assert (U := IZR_lt _ _ unit_pos). cbv zeta. induction l as [|h v l IH]; intros H.
  - right. rewrite (over_cut n 0); [unfold over; simpl; lra|lia|]. intros j _.
    cbn [rounded entry_sum]. replace (0 - 0 / IZR unit) with 0 by (field; lra). apply Rabs_R0.
  - rewrite whole_cons in H. assert (P := norm_pos all l). specialize (IH ltac:(lia)).
    cbn [rounded]. destruct (Uint63.eqb_spec v 0) as [Q _]. destruct (v =? 0)%uint63.
    + rewrite (Q eq_refl). apply Rle_trans with (2 := IH). right. apply over_ext. intros j _.
      cbn [entry_sum]. change (signed 0) with 0%Z. now destruct (Z.of_nat j =? plain h)%Z.
    + clear Q. cbn [entry_sum entries]. rewrite rounded_number by lia.
      set (q := ((signed v + unit / 2) / unit)%Z).
      assert (C : Rabs (IZR q - IZR (signed v) / IZR unit) <= / 2).
      { assert (C := IZR_le _ _ (rounded_close (signed v))). fold q in C.
        rewrite mult_IZR, abs_IZR, minus_IZR, mult_IZR in C.
        replace (IZR q * IZR unit - IZR (signed v))
          with ((IZR q - IZR (signed v) / IZR unit) * IZR unit) in C by (field; lra).
        rewrite Rabs_mult, (Rabs_pos_eq (IZR unit)) in C by lra.
        apply (Rmult_le_reg_r (IZR unit)); lra. }
      rewrite plus_IZR.
      apply Rle_trans with (/ 2 + IZR (entries (rounded bias back e l)) / 2); [|lra].
      apply Rle_trans with (over n (fun g => (if (Z.of_nat g =? plain h)%Z then / 2 else 0) +
        Rabs (IZR (entry_sum (rounded bias back e l) g) - IZR (entry_sum l g) / IZR unit))).
      * apply over_le. intros j _. rewrite !plus_IZR. destruct (Z.of_nat j =? plain h)%Z.
        -- apply Rle_trans with (2 := Rplus_le_compat_r _ _ _ C),
             (fun H => Rle_trans _ _ _ H (Rabs_triang _ _)). right.
        f_equal. field. lra.
        -- right. rewrite !Rplus_0_l. reflexivity.
      * rewrite over_plus. apply Rplus_le_compat; [apply over_key; lra|exact IH].
Qed.
End Rounding.
